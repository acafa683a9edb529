//! Charts: stacked bars as inline SVG, with axes and labels beside it in HTML, so that text has one size at every width, and
//! the same numbers as a table.

use std::fmt::Write as _;

use maud::{Markup, html};

/// Height of a plot and width of a step in the units of the drawing, which is stretched to its place.
const HEIGHT: f64 = 1000.0;
const STEP: usize = 10;
/// Least height of what is not 0.
const LEAST: f64 = 8.0;

/// What is drawn: panels over the same steps, with the same scale.
pub(super) struct Chart<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    /// What is to be seen in it, in words: for those who do not see it.
    pub(super) description: String,
    /// What the panels draw, in the order of stacking from below; a single one needs no legend.
    pub(super) legend: Vec<(&'static str, String)>,
    pub(super) panels: Vec<Panel>,
    /// Labels below, the first at the left end and the last at the right.
    pub(super) labels: Vec<String>,
    /// What is said of each step when it is pointed at.
    pub(super) tips: Vec<String>,
    /// The same numbers.
    pub(super) table: Markup,
}

/// Bars over steps.
pub(super) struct Panel {
    pub(super) title: String,
    /// Class of each stacked value, and the values of all steps; `None` where there is no value.
    pub(super) series: Vec<(&'static str, Vec<Option<f64>>)>,
}

impl Panel {
    fn steps(&self) -> usize {
        self.series.first().map_or(0, |(_, values)| values.len())
    }

    fn sum(&self, step: usize) -> f64 {
        self.series.iter().filter_map(|(_, values)| values[step]).sum()
    }

    fn most(&self) -> f64 {
        (0..self.steps()).map(|step| self.sum(step)).fold(0.0, f64::max)
    }
}

impl Chart<'_> {
    /// The figure.
    pub(super) fn markup(&self) -> Markup {
        let top = round_top(self.panels.iter().map(Panel::most).fold(0.0, f64::max));
        html! {
            figure .chart id=(self.id) aria-labelledby={ (self.id) "-title" } {
                figcaption {
                    h3 id={ (self.id) "-title" } { (self.title) }
                    p { (self.description) }
                    @if self.legend.len() > 1 {
                        ul .key { @for (class, name) in &self.legend { li { span class={ "swatch " (class) } {} (name) } } }
                    }
                }
                @for panel in &self.panels { (self.panel(panel, top)) }
                div .x aria-hidden="true" { @for label in &self.labels { span { (label) } } }
                details .numbers { summary { "The numbers of: " (self.title) } (self.table) }
            }
        }
    }

    fn panel(&self, panel: &Panel, top: f64) -> Markup {
        let width = panel.steps() * STEP;
        let name =
            if panel.title.is_empty() { self.title.to_owned() } else { format!("{}: {}", self.title, panel.title) };
        html! {
            @if !panel.title.is_empty() { p .panel { (panel.title) } }
            div .plot {
                div .y aria-hidden="true" { span { (tick(top)) } span { (tick(top / 2.0)) } span { "0" } }
                svg role="img" aria-label={ (name) ". The numbers are in the table below." }
                    viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" {
                    path .grid d={ "M0 0H" (width) "M0 500H" (width) "M0 1000H" (width) } {}
                    @for (class, path) in bars(panel, top) { path class=(class) d=(path) {} }
                    @for (at, tip) in self.tips.iter().enumerate() {
                        rect .tip x=(at * STEP) y="0" width=(STEP) height=(HEIGHT) { title { (tip) } }
                    }
                }
            }
        }
    }
}

/// One path for each series. A value of 0 is a line at the foot, and no value is nothing.
fn bars(panel: &Panel, top: f64) -> Vec<(&'static str, String)> {
    let mut foot = vec![0.0_f64; panel.steps()];
    let mut paths: Vec<(&'static str, String)> = Vec::new();
    for (class, values) in &panel.series {
        let mut path = String::new();
        for (step, value) in values.iter().enumerate().filter_map(|(step, value)| Some((step, (*value)?))) {
            if value > 0.0 {
                let height = (value / top * HEIGHT).max(LEAST).min(HEIGHT - foot[step]);
                rectangle(&mut path, step, HEIGHT - foot[step] - height, height);
                foot[step] += height;
            }
        }
        paths.push((class, path));
    }
    let mut zeros = String::new();
    for step in 0..panel.steps() {
        let is_known = panel.series.iter().any(|(_, values)| values[step].is_some());
        if is_known && foot[step] == 0.0 {
            rectangle(&mut zeros, step, HEIGHT - LEAST, LEAST);
        }
    }
    paths.push(("zero", zeros));
    paths.retain(|(_, path)| !path.is_empty());
    paths
}

fn rectangle(path: &mut String, step: usize, y: f64, height: f64) {
    let (x, width) = (step * STEP + 1, STEP - 2);
    write!(path, "M{x} {y:.0}h{width}v{height:.0}h-{width}z").expect("a String takes everything");
}

/// The end of the scale: a round number not below the greatest value, whose half is round as well.
fn round_top(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let rounds = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|round| round * power);
    rounds.into_iter().find(|round| *round >= most * 0.999_999).unwrap_or(10.0 * power)
}

/// A number beside the axis.
fn tick(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", short(value / 1e6)),
        1e3.. => format!("{}k", short(value / 1e3)),
        _ => short(value),
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (most, top) in
            [(0.0, 1.0), (0.37, 0.4), (1.0, 1.0), (3.0, 3.0), (41.0, 50.0), (999.0, 1000.0), (2200.0, 2400.0)]
        {
            assert!((round_top(most) - top).abs() < 1e-9, "{most}: {}", round_top(most));
        }
        assert_eq!([tick(0.05), tick(2.0), tick(1500.0), tick(4_000_000.0)], ["0.05", "2", "1.5k", "4M"]);
    }

    #[test]
    fn nothing_is_drawn_where_there_is_no_value_and_a_line_where_it_is_zero() {
        let panel = Panel {
            title: String::new(),
            series: vec![("a", vec![Some(1.0), Some(0.0), None]), ("b", vec![Some(1.0), Some(0.0), None])],
        };
        let paths = bars(&panel, 2.0);
        let expected = [
            ("a", "M1 500h8v500h-8z".to_owned()),
            ("b", "M1 0h8v500h-8z".to_owned()),
            ("zero", "M11 992h8v8h-8z".to_owned()),
        ];
        assert_eq!(paths, expected);
    }
}
