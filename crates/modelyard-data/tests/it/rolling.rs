//! Rolling origins: what learns stands before what judges, and what does not fit is refused.

use modelyard_data::{
    Dataset, Fold, Kind, OutputKind, PipelineSpec, SplitKind, SplitSpec, WindowSpec, rolling_origin, split,
};

use super::{csv, spec};

const LENGTH: usize = 4;
const HORIZON: usize = 3;

fn forecast() -> PipelineSpec {
    let mut spec = spec(&[("x", Kind::Number)], OutputKind::Number);
    let windows = WindowSpec { horizon: HORIZON, ..WindowSpec::new("t", LENGTH) };
    spec.windows = Some(windows);
    spec
}

fn series(rows: usize) -> Dataset {
    let rows: String = (0..rows).map(|t| format!("{t},{},{}\n", t % 5, t % 7)).collect();
    csv(&format!("t,x,y\n{rows}"), &forecast())
}

fn by_time() -> SplitSpec {
    SplitSpec { kind: SplitKind::Time, test: Some(0.4), validation: Some(0.2), ..SplitSpec::default() }
}

fn folds(rows: usize, count: usize) -> Result<Vec<Fold>, String> {
    let folds = rolling_origin(&by_time(), &series(rows), &forecast().outputs, count);
    folds.map_err(|error| format!("{error} | {}", error.hint().unwrap_or_default()))
}

#[test]
fn what_learns_never_reaches_into_what_judges() {
    let data = series(100);
    let whole = split(&by_time(), &data, &forecast().outputs).expect("a split");
    for count in [1, 3, 7] {
        let folds = folds(100, count).expect("enough rows");
        assert_eq!(folds.len(), count);
        let judged: Vec<usize> = folds.iter().flat_map(|fold| fold.parts.test.clone()).collect();
        assert_eq!(judged, whole.test, "together they are the test part");
        for fold in &folds {
            let first = fold.parts.test[0];
            assert_eq!(fold.origin, first.to_string());
            // What a training window forecasts ends before the first row that decides, and that before the origin.
            let [learned, decided] =
                [&fold.parts.train, &fold.parts.validation].map(|rows| rows.last().expect("rows"));
            assert!(learned + HORIZON < fold.parts.validation[0], "{fold:?}");
            assert!(decided + HORIZON < first, "{fold:?}");
        }
        let learned: Vec<usize> = folds.iter().map(|fold| fold.parts.train.len()).collect();
        assert!(learned.windows(2).all(|pair| pair[0] < pair[1]), "more and more: {learned:?}");
    }
    assert_eq!(folds(100, 1).expect("one")[0].parts, whole, "one origin is the plain split");
}

#[test]
fn what_does_not_fit_is_said() {
    let check = |got: Result<Vec<Fold>, String>, want: &str| {
        let text = got.expect_err("it does not fit");
        assert!(text.contains(want), "{want:?} is not in {text:?}");
    };
    let most = split(&by_time(), &series(40), &forecast().outputs).expect("a split").test.len();
    check(folds(40, 0), "0 origins do not fit");
    check(folds(40, most + 1), &format!("the test part has {most} times to begin at | ask for 1 to {most}"));
    assert_eq!(folds(40, most).map(|folds| folds.len()), Ok(most), "as many as the message says");
    let by_chance = rolling_origin(&SplitSpec::default(), &series(40), &forecast().outputs, 2);
    check(by_chance.map_err(|error| format!("{error}")), "forecasts only, whose rows are divided by time");
    let mut no_horizon = forecast();
    no_horizon.windows = Some(WindowSpec::new("t", LENGTH));
    let data = csv("t,x,y\n0,1,1\n1,1,1\n2,1,1\n3,1,1\n4,1,1\n5,1,1\n6,1,1\n7,1,1\n8,1,1\n", &no_horizon);
    let none = rolling_origin(&by_time(), &data, &no_horizon.outputs, 2);
    check(none.map_err(|error| error.hint().unwrap_or_default()), "set horizon under [data.windows]");
}
