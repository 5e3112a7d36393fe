//! The engines, from outside: one contract for all of them, hostile files, and parity of exported networks.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod convolutions;
#[cfg(test)]
mod exported;
#[cfg(test)]
mod exported_attention;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod native_onnx;
#[cfg(test)]
mod recurrent;
#[cfg(test)]
mod split;
#[cfg(test)]
mod support;
