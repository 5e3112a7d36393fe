//! Runs inner loops compiled for the widest instruction set that this processor has.
//!
//! The released program is compiled for baseline x86-64; a [`Kernel`] is compiled three times, and the
//! version to run is chosen once. `gemm` does the same for matrix products by itself.

use std::sync::OnceLock;

/// How `a * b + c` is computed: in one rounding where the processor has it, in two where it has not
/// (there, one rounding would be a slow library call).
pub(crate) trait Arithmetic {
    /// `a * b + c`.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding.
pub(crate) struct Fused;
/// Two roundings.
pub(crate) struct Plain;

impl Arithmetic for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Arithmetic for Plain {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// An inner loop. `run` must be `#[inline(always)]`, so that it is compiled into each version.
pub(crate) trait Kernel {
    /// What the loop gives back.
    type Output;
    /// The loop itself.
    fn run<A: Arithmetic>(self) -> Self::Output;
}

/// Runs the kernel in the widest version that this processor has.
#[inline]
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: `level` has seen each of these features on this processor.
        Level::V4 => return unsafe { run_v4(kernel) },
        // SAFETY: as above.
        Level::V3 => return unsafe { run_v3(kernel) },
        Level::Baseline => {}
    }
    #[cfg(target_arch = "aarch64")]
    return kernel.run::<Fused>();
    #[cfg(not(target_arch = "aarch64"))]
    kernel.run::<Plain>()
}

#[derive(Clone, Copy)]
enum Level {
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has levels"))]
    V4,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has levels"))]
    V3,
    Baseline,
}

#[cfg(target_arch = "x86_64")]
fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let v3 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let v4 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        match (v3, v4) {
            (true, true) => Level::V4,
            (true, false) => Level::V3,
            _ => Level::Baseline,
        }
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
fn run_v4<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Fused>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_v3<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Fused>()
}
