//! Charts as SVG: lines and dots over two axes, drawn in the page's colours.

use std::fmt::Write as _;

use super::html::{escape, number};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes: left, right, top, bottom.
const MARGINS: [f64; 4] = [58.0, 12.0, 12.0, 62.0];
/// More points of one series than this are thinned out.
const POINTS_MAX: usize = 1_000;
/// Series that have a colour of their own.
const COLOURS: usize = 4;

/// How the points of a series are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Joined, in order.
    Line,
    /// Each by itself.
    Dots,
}

/// Points with a name.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// A line that shows what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guide {
    None,
    /// y = x.
    Diagonal,
    /// y = 0.
    Zero,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) guide: Guide,
    pub(super) series: Vec<Series>,
}

/// The values that one axis shows.
#[derive(Clone, Copy, Debug)]
struct Scale {
    from: f64,
    to: f64,
    step: f64,
}

impl Scale {
    /// Holds all values, begins and ends at round numbers, and has 3 to 7 of them.
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= f64::EPSILON * high.abs().max(1.0) {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * power >= rough).unwrap_or(10.0);
        let step = step * power;
        Self { from: (low / step).floor() * step, to: (high / step).ceil() * step, step }
    }

    fn share(self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.to - self.from) / self.step).round() as usize;
        (0..=count).map(move |at| {
            let tick = self.from + at as f64 * self.step;
            // Zero, not what rounding leaves of it.
            if tick.abs() < self.step * 1e-9 { 0.0 } else { tick }
        })
    }
}

impl Chart<'_> {
    /// The chart as a figure; the caption names it and its series.
    pub(super) fn figure(&self) -> String {
        let all = || self.series.iter().flat_map(|series| &series.points);
        let guide = (self.guide == Guide::Zero).then_some(0.0);
        let (x, y) = (Scale::over(all().map(|p| p.0)), Scale::over(all().map(|p| p.1).chain(guide)));
        let mut svg = format!(
            "<figure><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.spoken())
        );
        self.axes(&mut svg, x, y);
        for (at, series) in self.series.iter().enumerate() {
            draw(&mut svg, series, at % COLOURS, (x, y));
        }
        let _ = write!(svg, "</svg><figcaption>{}</figcaption></figure>", escape(self.title));
        svg
    }

    /// What the chart says, for those who do not see it.
    fn spoken(&self) -> String {
        let mut text = format!("{}: {} by {}.", self.title, self.y, self.x);
        for series in &self.series {
            let mut finite = series.points.iter().filter(|point| point.1.is_finite());
            if let Some(first) = finite.next() {
                let last = finite.next_back().unwrap_or(first);
                let _ = match series.mark {
                    Mark::Line => {
                        write!(text, " {} goes from {} to {}.", series.name, number(first.1), number(last.1))
                    }
                    Mark::Dots => write!(text, " {}: {} points.", series.name, series.points.len()),
                };
            }
        }
        text
    }

    fn axes(&self, svg: &mut String, x: Scale, y: Scale) {
        let ([left, _, top, _], [right, bottom]) = (MARGINS, corner());
        for tick in y.ticks() {
            let at = place_y(y, tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                tick_text(tick, y.step)
            );
        }
        for tick in x.ticks() {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                place_x(x, tick),
                bottom + 16.0,
                tick_text(tick, x.step)
            );
        }
        let ends = match self.guide {
            Guide::None => None,
            Guide::Zero => Some([(x.from, 0.0), (x.to, 0.0)]),
            Guide::Diagonal => {
                let (from, to) = (x.from.max(y.from), x.to.min(y.to));
                Some([(from, from), (to, to)])
            }
        };
        if let Some([from, to]) = ends {
            let _ = write!(
                svg,
                "<line class=\"guide\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                place_x(x, from.0),
                place_y(y, from.1),
                place_x(x, to.0),
                place_y(y, to.1)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(left, right),
            bottom + 34.0,
            escape(self.x),
            f64::midpoint(top, bottom),
            escape(self.y)
        );
        self.legend(svg);
    }

    fn legend(&self, svg: &mut String) {
        let width = (WIDTH - MARGINS[0]) / self.series.len().max(1) as f64;
        for (at, series) in self.series.iter().enumerate() {
            let x = MARGINS[0] + at as f64 * width;
            let colour = at % COLOURS;
            let _ = write!(
                svg,
                "<line class=\"mark-{colour}\" stroke-width=\"3\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 14.0,
                HEIGHT - 8.0,
                HEIGHT - 8.0,
                x + 19.0,
                HEIGHT - 4.0,
                escape(&series.name)
            );
        }
    }
}

/// The right and lower end of the area that is drawn on.
fn corner() -> [f64; 2] {
    [WIDTH - MARGINS[1], HEIGHT - MARGINS[3]]
}

fn place_x(scale: Scale, value: f64) -> f64 {
    MARGINS[0] + scale.share(value) * (corner()[0] - MARGINS[0])
}

fn place_y(scale: Scale, value: f64) -> f64 {
    corner()[1] - scale.share(value) * (corner()[1] - MARGINS[2])
}

/// As many digits as tell one tick from the next.
fn tick_text(tick: f64, step: f64) -> String {
    if tick != 0.0 && !(1e-4..1e6).contains(&tick.abs()) {
        return format!("{tick:.0e}");
    }
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{tick:.digits$}")
}

fn draw(svg: &mut String, series: &Series, colour: usize, (x, y): (Scale, Scale)) {
    let every = series.points.len().div_ceil(POINTS_MAX).max(1);
    let last = series.points.len().saturating_sub(1);
    let points = series.points.iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
    let places = points
        .filter(|(_, point)| point.0.is_finite() && point.1.is_finite())
        .map(|(_, point)| (place_x(x, point.0), place_y(y, point.1)));
    match series.mark {
        Mark::Line => {
            let _ = write!(svg, "<polyline class=\"mark-{colour}\" points=\"");
            for (x, y) in places {
                let _ = write!(svg, "{x:.1},{y:.1} ");
            }
            svg.push_str("\"/>");
        }
        Mark::Dots => {
            let _ = write!(svg, "<g class=\"mark-{colour}\">");
            for (x, y) in places {
                let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
            }
            svg.push_str("</g>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round_and_hold_every_value() {
        let check = |values: &[f64], from: f64, to: f64, ticks: usize| {
            let scale = Scale::over(values.iter().copied());
            assert!((scale.from - from).abs() < 1e-9 && (scale.to - to).abs() < 1e-9, "{scale:?}");
            assert_eq!(scale.ticks().count(), ticks, "{scale:?}");
        };
        check(&[0.13, 0.97], 0.0, 1.0, 6);
        check(&[-3.0, 42.0], -10.0, 50.0, 7);
        check(&[5.0], 4.4, 5.6, 7);
        check(&[], 0.0, 1.0, 6);
        check(&[f64::NAN, 1.0, f64::INFINITY, 2.0], 1.0, 2.0, 6);
    }

    #[test]
    fn a_chart_stays_inside_its_frame_whatever_it_is_given() {
        for points in [vec![], vec![(1.0, 1e300), (2.0, -1e300)], vec![(0.0, f64::NAN)], vec![(1e-300, 1.0)]]
        {
            let series = vec![Series { name: "<a>".to_owned(), mark: Mark::Line, points }];
            let chart = Chart { title: "t", x: "x", y: "y", guide: Guide::Diagonal, series };
            let figure = chart.figure();
            assert!(
                !figure.contains("NaN") && !figure.contains("inf") && !figure.contains("<a>"),
                "{figure}"
            );
        }
    }

    #[test]
    fn many_points_are_thinned_out_and_the_last_stays() {
        let points: Vec<(f64, f64)> = (0..5001).map(|at| (f64::from(at), 1.0)).collect();
        let series = vec![Series { name: "a".to_owned(), mark: Mark::Dots, points }];
        let figure = Chart { title: "t", x: "x", y: "y", guide: Guide::Zero, series }.figure();
        let circles = figure.matches("<circle").count();
        assert!((800..=1001).contains(&circles), "{circles}");
    }
}
