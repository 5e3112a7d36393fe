//! The pool over a made-up network whose runs the test opens one by one: no test waits for a clock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;

use modelyard_types::{DataType, Deadline, Dim, ErrorKind, Signature, Tensor, TensorSpec, Version};

use super::*;
use crate::telemetry::Telemetry;

/// The real clock, plus what the test adds to it.
#[derive(Default)]
struct TestClock(AtomicU64);

use std::sync::atomic::AtomicU64;

#[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which owns the clock")]
impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::now() + Duration::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// Doubles its input. A value of 13 makes it panic. With a gate, each run after the probe says that it began,
/// and waits until it is let through.
struct Doubler {
    signature: Signature,
    gated: AtomicBool,
    began: Sender<usize>,
    gate: Arc<Mutex<Receiver<()>>>,
    sessions: AtomicUsize,
}

struct DoublerSession {
    model: Arc<Doubler>,
}

struct Handle(Arc<Doubler>);

impl LoadedModel for Handle {
    fn runtime(&self) -> &'static str {
        "doubler"
    }

    fn signature(&self) -> &Signature {
        &self.0.signature
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        self.0.sessions.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(DoublerSession { model: Arc::clone(&self.0) }))
    }
}

impl Session for DoublerSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let values = inputs[0].tensor.as_f32().expect("the signature says FP32");
        assert!(!values.contains(&13.0), "an unlucky number");
        if self.model.gated.load(Ordering::SeqCst) {
            self.model.began.send(values.len()).expect("the test listens");
            let gate = self.model.gate.lock().expect("not poisoned");
            gate.recv().expect("the test opens the gate");
        }
        let doubled: Vec<f32> = values.iter().map(|value| 2.0 * value).collect();
        let tensor = Tensor::new(inputs[0].tensor.shape().to_vec(), doubled.into()).expect("the same shape");
        Ok(vec![NamedTensor { name: "y".to_owned(), tensor }])
    }
}

struct Bench {
    pool: Arc<Pool>,
    model: Arc<Doubler>,
    clock: Arc<TestClock>,
    began: Receiver<usize>,
    open: Sender<()>,
}

/// A pool of one session whose requests go to its worker thread, where `gated`.
fn bench(gated: bool, queue_rows_max: usize) -> Bench {
    let config = ServeConfig { sessions_max: 1, queue_rows_max, batch_size_max: 8, ..ServeConfig::default() };
    bench_with(gated, config)
}

fn bench_with(gated: bool, config: ServeConfig) -> Bench {
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: vec![Dim::Any, Dim::Any],
    };
    let (began_in, began) = channel();
    let (open, gate) = channel();
    let model = Arc::new(Doubler {
        signature: Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] },
        gated: AtomicBool::new(false),
        began: began_in,
        gate: Arc::new(Mutex::new(gate)),
        sessions: AtomicUsize::new(0),
    });
    let clock = Arc::new(TestClock::default());
    let name: ModelName = "doubler".parse().expect("a name");
    let telemetry = Arc::new(Telemetry::new().version(&name, Version::FIRST));
    let network = Arc::new(Handle(Arc::clone(&model)));
    let mut pool = Pool::start(&name, network, &config, Arc::clone(&clock) as Arc<dyn Clock>, telemetry)
        .expect("the doubler makes sessions");
    if gated {
        model.gated.store(true, Ordering::SeqCst);
        // What a gated run costs is not known, so no caller runs one itself.
        let core = Arc::get_mut(&mut pool.core).expect("no thread was started yet");
        core.row_cost = RowCost::new(None);
    }
    Bench { pool: Arc::new(pool), model, clock, began, open }
}

impl Bench {
    fn work(&self, shape: [usize; 2], first: f32, time: Duration) -> Work {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|at| first + at as f32).collect();
        let tensor = Tensor::new(shape.to_vec(), values.into()).expect("fits");
        let inputs = vec![NamedTensor { name: "x".to_owned(), tensor }];
        Work {
            inputs,
            rows: shape[0],
            shape: vec![shape[1]],
            urgency: Deadline(self.clock.now() + time).into(),
        }
    }

    /// Queues a request now, and gives what waits for its answer.
    fn send(&self, shape: [usize; 2], first: f32) -> oneshot::Receiver<Outputs> {
        self.pool.core.submit(self.work(shape, first, LONG)).expect("there is room").1
    }
}

const LONG: Duration = Duration::from_secs(600);

fn values(outputs: Outputs) -> Vec<f32> {
    outputs.expect("an answer").outputs[0].tensor.as_f32().expect("FP32").to_vec()
}

fn kind(outputs: Outputs) -> ErrorKind {
    outputs.expect_err("a failure").kind()
}

#[tokio::test]
async fn short_work_is_answered_by_the_caller() {
    let bench = bench(false, 100);
    assert_eq!(values(bench.pool.run(bench.work([2, 2], 1.0, LONG)).await), [2.0, 4.0, 6.0, 8.0]);
    assert_eq!(bench.pool.core.lock().threads, 0, "no thread was needed");
}

#[tokio::test]
async fn what_waits_is_joined_by_shape_and_answered_to_its_own_caller() {
    let bench = bench(true, 100);
    let first = bench.send([1, 1], 0.0);
    assert_eq!(bench.began.recv(), Ok(1));
    let waiting = [bench.send([1, 1], 1.0), bench.send([1, 2], 100.0), bench.send([2, 1], 5.0)];
    for size in [None, Some(3), Some(2)] {
        bench.open.send(()).expect("the session waits");
        if let Some(size) = size {
            assert_eq!(bench.began.recv(), Ok(size), "values in one batch");
        }
    }
    bench.open.send(()).expect("the session waits");
    assert_eq!(values(first.await.expect("answered")), [0.0]);
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(values(answer.await.expect("answered")));
    }
    assert_eq!(answers, [vec![2.0], vec![200.0, 202.0], vec![10.0, 12.0]]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_caller_that_leaves_makes_room() {
    let bench = bench(true, 2);
    let running = bench.send([1, 1], 0.0);
    assert_eq!(bench.began.recv(), Ok(1));
    {
        let leaving = bench.pool.run(bench.work([2, 1], 1.0, LONG));
        let mut leaving = std::pin::pin!(leaving);
        let polled = futures_poll_once(leaving.as_mut()).await;
        assert!(polled.is_none(), "it waits");
        assert_eq!(kind(bench.pool.run(bench.work([1, 1], 2.0, LONG)).await), ErrorKind::ResourceExhausted);
    }
    let next = bench.send([2, 1], 3.0);
    bench.open.send(()).expect("the session waits");
    assert_eq!(bench.began.recv(), Ok(2), "the one that left is not run");
    bench.open.send(()).expect("the session waits");
    assert_eq!(values(running.await.expect("answered")), [0.0]);
    assert_eq!(values(next.await.expect("answered")), [6.0, 8.0]);
}

async fn futures_poll_once<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn expired_requests_are_told_and_never_run() {
    let bench = bench(true, 100);
    let running = bench.send([1, 1], 0.0);
    assert_eq!(bench.began.recv(), Ok(1));
    assert_eq!(
        kind(bench.pool.run(bench.work([1, 1], 1.0, Duration::ZERO)).await),
        ErrorKind::DeadlineExceeded
    );
    let late = bench.pool.core.submit(bench.work([1, 1], 2.0, Duration::from_secs(5))).expect("room").1;
    bench.clock.0.store(6_000_000, Ordering::SeqCst);
    bench.open.send(()).expect("the session waits");
    assert_eq!(values(running.await.expect("answered")), [0.0]);
    assert!(late.await.is_err(), "its sender was dropped without an answer");
    let next = bench.send([1, 1], 7.0);
    assert_eq!(bench.began.recv(), Ok(1));
    bench.open.send(()).expect("the session waits");
    assert_eq!(values(next.await.expect("answered")), [14.0]);
}

#[tokio::test]
async fn a_session_that_panics_takes_only_its_batch_with_it() {
    for gated in [false, true] {
        let bench = bench(gated, 100);
        assert_eq!(kind(bench.pool.run(bench.work([1, 1], 13.0, LONG)).await), ErrorKind::Internal);
        let next = bench.send([1, 1], 4.0);
        if bench.model.gated.load(Ordering::SeqCst) {
            assert_eq!(bench.began.recv(), Ok(1));
            bench.open.send(()).expect("the session waits");
        }
        assert_eq!(values(next.await.expect("answered")), [8.0]);
        assert_eq!(bench.model.sessions.load(Ordering::SeqCst), 2, "the broken one was replaced");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_kept_shortens_the_queue() {
    let config = ServeConfig { latency_target: Some(Duration::from_nanos(1)), ..ServeConfig::default() };
    let mut keeper = config.target(true).expect("there is a target");
    for _ in 0..20 {
        keeper.observe(4, Duration::from_millis(1), std::iter::repeat_n(Duration::from_millis(1), 4));
    }
    let kept = keeper.limits();
    assert_eq!((kept.batch_rows_max, kept.queue_rows_max), (1, config.sessions_max), "{kept:?}");
    assert!(ServeConfig::default().target(true).is_none());
    let bench = bench_with(false, config);
    for first in 20..40 {
        assert_eq!(
            values(bench.pool.run(bench.work([1, 1], first as f32, LONG)).await),
            [2.0 * first as f32]
        );
    }
    assert_eq!(bench.pool.queued_rows(), 0);
}
