//! The pool over a made-up network whose runs the test opens one by one: no test waits for a clock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;

use modelyard_types::{DataType, Deadline, Dim, ErrorKind, Signature, Tensor, TensorSpec, Version};

use super::*;
use crate::batch_cost::BatchCost;
use crate::scheduler::Kept;
use crate::target::Target;
use crate::telemetry::Telemetry;

/// The real clock, or one that stands, plus what the test adds to it.
#[derive(Default)]
struct TestClock {
    stands_at: Option<Instant>,
    added_us: AtomicU64,
}

#[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which owns the clock")]
impl Clock for TestClock {
    fn now(&self) -> Instant {
        let base = self.stands_at.unwrap_or_else(Instant::now);
        base + Duration::from_micros(self.added_us.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// Doubles its input. A value of 13 makes it panic. With a gate, each run after the probe says that it began,
/// and waits until it is let through. A run takes so much time before its first row and for each, by the test's
/// clock.
struct Doubler {
    signature: Signature,
    clock: Arc<TestClock>,
    cost_us: (u64, u64),
    batches: Mutex<Vec<usize>>,
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
        let rows = inputs[0].tensor.shape()[0];
        self.model.batches.lock().expect("not poisoned").push(rows);
        let (fixed, row) = self.model.cost_us;
        self.model.clock.added_us.fetch_add(fixed + row * rows as u64, Ordering::SeqCst);
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
    bench_with(gated, config, TestClock::default(), (0, 0))
}

/// A pool whose batches take so many microseconds before their first row and for each, and no time else.
#[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
fn timed_bench(cost_us: (u64, u64), config: ServeConfig) -> Bench {
    let clock = TestClock { stands_at: Some(Instant::now()), ..TestClock::default() };
    let bench = bench_with(false, config, clock, cost_us);
    bench.take_batches();
    bench
}

fn bench_with(gated: bool, config: ServeConfig, clock: TestClock, cost_us: (u64, u64)) -> Bench {
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: vec![Dim::Any, Dim::Any],
    };
    let (began_in, began) = channel();
    let (open, gate) = channel();
    let clock = Arc::new(clock);
    let model = Arc::new(Doubler {
        signature: Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] },
        clock: Arc::clone(&clock),
        cost_us,
        batches: Mutex::default(),
        gated: AtomicBool::new(false),
        began: began_in,
        gate: Arc::new(Mutex::new(gate)),
        sessions: AtomicUsize::new(0),
    });
    let name: ModelName = "doubler".parse().expect("a name");
    let telemetry = Arc::new(Telemetry::new().version(&name, Version::FIRST));
    let network = Arc::new(Handle(Arc::clone(&model)));
    let pool = Pool::start(&name, network, &config, Arc::clone(&clock) as Arc<dyn Clock>, telemetry)
        .expect("the doubler makes sessions");
    if gated {
        model.gated.store(true, Ordering::SeqCst);
        // What a gated run costs is not known, so no caller runs one itself.
        pool.core.lock().cost = BatchCost::default();
    }
    Bench { pool: Arc::new(pool), model, clock, began, open }
}

/// Numbers from `first` on, and so much time for their answer.
fn work(clock: &TestClock, shape: [usize; 2], first: f32, time: Duration) -> Work {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|at| first + at as f32).collect();
    let tensor = Tensor::new(shape.to_vec(), values.into()).expect("fits");
    let inputs = vec![NamedTensor { name: "x".to_owned(), tensor }];
    Work { inputs, rows: shape[0], shape: vec![shape[1]], urgency: Deadline(clock.now() + time).into() }
}

impl Bench {
    fn work(&self, shape: [usize; 2], first: f32, time: Duration) -> Work {
        work(&self.clock, shape, first, time)
    }

    /// Queues a request now, and gives what waits for its answer.
    fn send(&self, shape: [usize; 2], first: f32) -> oneshot::Receiver<Outputs> {
        self.pool.core.submit(self.work(shape, first, LONG)).expect("there is room").answer
    }

    /// The rows of the batches since this was asked last.
    fn take_batches(&self) -> Vec<usize> {
        std::mem::take(&mut *self.model.batches.lock().expect("not poisoned"))
    }
}

const MS: Duration = Duration::from_millis(1);
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
    let late = bench.pool.core.submit(bench.work([1, 1], 2.0, Duration::from_secs(5))).expect("room").answer;
    bench.clock.added_us.store(6_000_000, Ordering::SeqCst);
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
        let ended = Ended { at: TestClock::default().now(), rows: 4, took: MS, backlog: false };
        keeper.observe(ended, std::iter::repeat_n((1, MS), 4));
    }
    let kept = keeper.limits();
    assert_eq!((kept.batch_rows_max, kept.queue_rows_max), (1, config.sessions_max), "{kept:?}");
    assert!(ServeConfig::default().target(true).is_none());
    let bench = bench_with(false, config, TestClock::default(), (0, 0));
    for first in 20..40 {
        assert_eq!(
            values(bench.pool.run(bench.work([1, 1], first as f32, LONG)).await),
            [2.0 * first as f32]
        );
    }
    assert_eq!(bench.pool.queued_rows(), 0);
}

/// Forty microseconds before the first row: enough that company pays.
const DEAR: (u64, u64) = (40, 1);

/// Asks for one row each, all in one turn of this thread.
async fn ask_together(bench: &Bench, values_asked: std::ops::Range<u16>) {
    let mut asked = tokio::task::JoinSet::new();
    for value in values_asked {
        let (pool, work) = (Arc::clone(&bench.pool), bench.work([1, 1], f32::from(value), LONG));
        asked.spawn(async move { (value, values(pool.run(work).await)) });
    }
    while let Some(done) = asked.join_next().await {
        let (value, answer) = done.expect("no task panics");
        assert_eq!(answer, [2.0 * f32::from(value)], "to its own caller");
    }
}

#[tokio::test]
async fn what_a_thread_has_ready_rides_together_where_company_pays() {
    let bench = timed_bench(DEAR, ServeConfig::default());
    ask_together(&bench, 100..116).await;
    assert_eq!(bench.take_batches(), [16]);
    ask_together(&bench, 100..201).await;
    assert_eq!(bench.take_batches(), [64, 37], "at most as many as are allowed");
    let cheap = timed_bench((1, 1), ServeConfig::default());
    ask_together(&cheap, 100..116).await;
    assert_eq!(cheap.take_batches(), [1; 16], "waiting would cost more than it saves");
    let alone = timed_bench(DEAR, ServeConfig { batch_size_max: 1, ..ServeConfig::default() });
    ask_together(&alone, 100..116).await;
    assert_eq!(alone.take_batches(), [1; 16], "nothing is to be joined");
    let preferred = ServeConfig { preferred_rows: vec![4, 8], ..ServeConfig::default() };
    let preferred = timed_bench(DEAR, preferred);
    ask_together(&preferred, 100..110).await;
    assert_eq!(preferred.take_batches(), [4, 4, 2], "what is preferred goes at once");
    for bench in [bench, cheap, alone, preferred] {
        assert_eq!(bench.pool.core.lock().threads, 0, "no thread was needed");
    }
}

#[tokio::test]
async fn rounds_without_company_end_most_waiting_for_it() {
    let bench = timed_bench(DEAR, ServeConfig::default());
    let mut waited = 0;
    for value in 100..200u16 {
        let mut asked = std::pin::pin!(bench.pool.run(bench.work([1, 1], f32::from(value), LONG)));
        let answer = match futures_poll_once(asked.as_mut()).await {
            Some(answer) => answer,
            None => {
                waited += 1;
                asked.await
            }
        };
        assert_eq!(values(answer), [2.0 * f32::from(value)]);
    }
    assert!((8..=10).contains(&waited), "{waited} of 100 waited");
    ask_together(&bench, 100..164).await;
    bench.take_batches();
    ask_together(&bench, 100..116).await;
    assert_eq!(bench.take_batches(), [16], "company was noticed");
}

#[tokio::test]
async fn a_round_that_ends_with_the_batch_of_another_tells_nothing() {
    let bench = timed_bench(DEAR, ServeConfig::default());
    for value in 100..107u16 {
        assert_eq!(
            values(bench.pool.run(bench.work([1, 1], f32::from(value), LONG)).await),
            [2.0 * f32::from(value)]
        );
    }
    let urgent = bench.work([1, 2], 300.0, LONG);
    let urgent = Work { urgency: urgent.urgency.with_priority(1), ..urgent };
    let mut first = Box::pin(bench.pool.run(bench.work([1, 1], 200.0, LONG)));
    let mut urgent = Box::pin(bench.pool.run(urgent));
    assert!(futures_poll_once(first.as_mut()).await.is_none());
    assert!(futures_poll_once(urgent.as_mut()).await.is_none());
    assert_eq!(values(first.await), [400.0], "its round ended, and the urgent one was run");
    assert_eq!(values(urgent.await), [600.0, 602.0]);
    let mut rounds = bench.pool.core.lock().rounds;
    assert!(rounds.waits(true), "seven rounds without company are not eight");
}

#[tokio::test]
async fn who_leaves_in_mid_round_holds_up_nobody() {
    let bench = timed_bench(DEAR, ServeConfig::default());
    let ask = |value: f32| bench.pool.run(bench.work([1, 1], value, LONG));
    let mut stays = Box::pin(ask(102.0));
    {
        let (mut first, mut last) = (Box::pin(ask(101.0)), Box::pin(ask(103.0)));
        assert!(futures_poll_once(first.as_mut()).await.is_none());
        assert!(futures_poll_once(stays.as_mut()).await.is_none());
        assert!(futures_poll_once(last.as_mut()).await.is_none());
        assert_eq!(bench.pool.queued_rows(), 3);
    }
    assert_eq!(bench.pool.queued_rows(), 1, "those who left are not run");
    assert_eq!(values(stays.await), [204.0]);
    assert_eq!(bench.take_batches(), [1]);
    let late = bench.pool.run(bench.work([1, 1], 104.0, Duration::from_millis(1)));
    let mut late = std::pin::pin!(late);
    assert!(futures_poll_once(late.as_mut()).await.is_none());
    bench.clock.added_us.fetch_add(2_000, Ordering::SeqCst);
    assert_eq!(kind(late.await), ErrorKind::DeadlineExceeded);
    assert_eq!(bench.take_batches(), [0; 0], "what expired in mid-round is not run");
}

/// One thread's part of the storm: requests of all kinds, some of whose callers leave at any moment.
async fn storm(pool: Arc<Pool>, clock: Arc<TestClock>, seed: u64) -> [usize; 4] {
    let mut dice = seed | 1;
    let mut roll = move |below: u64| {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    };
    let mut asked = tokio::task::JoinSet::new();
    let mut told = [0; 4];
    for step in 0..2_000u64 {
        let shape = [1 + roll(3) as usize, 1 + roll(2) as usize];
        let first = (100 + seed * 10_000 + step) as f32;
        let time = if roll(8) == 0 { Duration::from_micros(roll(300)) } else { LONG };
        let mut work = work(&clock, shape, first, time);
        work.urgency = work.urgency.with_priority(1 + roll(2) as u32);
        let pool = Arc::clone(&pool);
        let wanted: Vec<f32> = (0..shape[0] * shape[1]).map(|at| 2.0 * (first + at as f32)).collect();
        let task = asked.spawn(async move {
            match pool.run(work).await {
                Ok(ran) => {
                    assert_eq!(ran.outputs[0].tensor.as_f32(), Some(&wanted[..]), "another's answer");
                    0
                }
                Err(ServeError::DeadlineExceeded { .. }) => {
                    assert!(time < LONG, "it had time left");
                    1
                }
                Err(ServeError::QueueFull { .. }) => 2,
                Err(other) => panic!("{other}"),
            }
        });
        match roll(12) {
            0 => task.abort(),
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
    while let Some(done) = asked.join_next().await {
        match done {
            Ok(what) => told[what] += 1,
            Err(error) if error.is_cancelled() => told[3] += 1,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    told
}

#[test]
fn a_storm_on_several_threads_loses_doubles_and_swaps_nothing() {
    let config = ServeConfig { batch_size_max: 16, queue_rows_max: 40, ..ServeConfig::default() };
    let bench = timed_bench(DEAR, config);
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (pool, clock) = (Arc::clone(&bench.pool), Arc::clone(&bench.clock));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(storm(pool, clock, seed))
            })
        })
        .collect();
    let mut told = [0; 4];
    for thread in threads {
        for (sum, count) in told.iter_mut().zip(thread.join().expect("no thread panics")) {
            *sum += count;
        }
    }
    assert_eq!(told.iter().sum::<usize>(), 6_000, "each is told once: {told:?}");
    assert!(told.iter().all(|&count| count > 0), "all of it happens: {told:?}");
    assert_eq!(bench.pool.queued_rows(), 0);
    let batches = bench.take_batches();
    assert!(batches.iter().any(|&rows| rows > 3), "several requests rode together");
}

#[tokio::test]
async fn no_more_batches_run_at_once_than_the_target_lets() {
    let config = ServeConfig {
        latency_target: Some(Duration::from_secs(1)),
        sessions_max: 2,
        batch_size_max: 1,
        ..ServeConfig::default()
    };
    let bench = bench_with(true, config, TestClock::default(), (0, 0));
    let at_once = |bench: &Bench| bench.pool.core.lock().sessions_at_once();
    assert_eq!(at_once(&bench), 2);
    let first = [bench.send([1, 1], 1.0), bench.send([1, 1], 2.0)];
    assert_eq!((bench.began.recv(), bench.began.recv()), (Ok(1), Ok(1)), "two at once");
    let waiting = [bench.send([1, 1], 3.0), bench.send([1, 1], 4.0)];
    let kept = Kept { batch_rows_max: 1, batch_delay: Duration::ZERO, queue_rows_max: 100 };
    let mut one = Target::new(Duration::from_secs(1), 1, kept);
    std::mem::swap(bench.pool.core.lock().target.as_mut().expect("there is one"), &mut one);
    assert_eq!(at_once(&bench), 1);
    for _ in 0..2 {
        bench.open.send(()).expect("a session waits");
    }
    for (answer, wanted) in first.into_iter().zip([2.0, 4.0]) {
        assert_eq!(values(answer.await.expect("answered")), [wanted]);
    }
    assert_eq!(bench.began.recv(), Ok(1));
    assert_eq!(bench.pool.queued_rows(), 1, "the other waits");
    assert!(bench.began.try_recv().is_err());
    for wanted in [6.0, 8.0].iter().zip(waiting) {
        bench.open.send(()).expect("a session waits");
        assert_eq!(values(wanted.1.await.expect("answered")), [*wanted.0]);
    }
}
