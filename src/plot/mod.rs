//! Curves to PNG files with labelled axes and a legend.
//!
//! Invariant: no font of the system is needed; the text is set in the one that lies beside this file.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use thiserror::Error;

const FONT: &str = "sans-serif";
const SIZE_PX: (u32, u32) = (960, 540);
/// Told apart in grey and by the colour-blind (Okabe and Ito 2008), darkest first.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Points that belong together.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// x and y, in the order of the line.
    pub points: Vec<(f64, f64)>,
    /// Words beside the points, as many or none.
    pub labels: Vec<String>,
    /// Points are marked, and the line is a strong one.
    pub marked: bool,
    /// Number of its colour; curves may share one.
    pub colour: usize,
}

/// Share of the plot, in width and height, that a legend may need.
const LEGEND: (f64, f64) = (0.3, 0.25);

/// What the axes are.
#[derive(Debug, Clone)]
pub struct Axes<'a> {
    /// Above the plot.
    pub title: &'a str,
    /// With its unit.
    pub x: &'a str,
    /// With its unit.
    pub y: &'a str,
    /// Where the y axis ends at most, whatever the points say.
    pub max_y: f64,
}

/// A plot that cannot be drawn.
#[derive(Debug, Error)]
#[error("cannot draw {path}: {message}")]
pub struct PlotError {
    path: String,
    message: String,
}

/// Draws curves as a PNG file; without any point, the empty axes.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(curves: &[Curve], axes: &Axes<'_>, path: &Path) -> Result<(), PlotError> {
    try_draw(curves, axes, path).map_err(|e| PlotError { path: path.display().to_string(), message: e.to_string() })
}

fn try_draw(curves: &[Curve], axes: &Axes<'_>, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let font = include_bytes!("DejaVuSans-ascii.ttf");
    register_font(FONT, FontStyle::Normal, font).map_err(|_| "the font is damaged")?;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let room = |top: f64| if top > 0.0 { top * 1.05 } else { 1.0 };
    let (right, top) = points().fold((0.0, 0.0), |(x, y): (f64, f64), p| (x.max(p.0), y.max(p.1)));
    let (right, top) = (room(right), room(top).min(axes.max_y));
    let root = BitMapBackend::new(path, SIZE_PX).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption(axes.title, (FONT, 20))
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 16))
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .draw()?;
    for curve in curves {
        let colour = COLOURS[curve.colour % COLOURS.len()];
        let style = colour.mix(if curve.marked { 1.0 } else { 0.5 }).stroke_width(if curve.marked { 2 } else { 1 });
        let line = LineSeries::new(curve.points.iter().copied(), style).point_size(if curve.marked { 4 } else { 0 });
        chart
            .draw_series(line)?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        let labels = curve.points.iter().zip(&curve.labels);
        chart.draw_series(labels.map(|(&point, label)| {
            EmptyElement::at(point) + Text::new(label.clone(), (6, -18), (FONT, 14).into_font().color(&colour))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(free_corner(points().map(|(x, y)| (x / right, y / top))))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 14))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Without digits that say nothing.
fn tick(value: &f64) -> String {
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Where a legend hides the fewest of `points`, which lie within the unit square.
fn free_corner(points: impl Iterator<Item = (f64, f64)>) -> SeriesLabelPosition {
    let corners = [
        (SeriesLabelPosition::UpperRight, true, true),
        (SeriesLabelPosition::LowerRight, true, false),
        (SeriesLabelPosition::UpperLeft, false, true),
        (SeriesLabelPosition::LowerLeft, false, false),
    ];
    let points: Vec<_> = points.collect();
    let hides = |right: bool, upper: bool, &&(x, y): &&(f64, f64)| {
        (if right { 1.0 - x } else { x }) < LEGEND.0 && (if upper { 1.0 - y } else { y }) < LEGEND.1
    };
    let hidden = |right, upper| points.iter().filter(|point| hides(right, upper, point)).count();
    let least = corners.into_iter().min_by_key(|&(_, right, upper)| hidden(right, upper));
    least.map_or(SeriesLabelPosition::UpperRight, |(corner, ..)| corner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legend_keeps_out_of_the_way() {
        let corner = |points: &[(f64, f64)]| free_corner(points.iter().copied());
        assert!(matches!(corner(&[]), SeriesLabelPosition::UpperRight));
        let rising = [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)];
        assert!(matches!(corner(&rising), SeriesLabelPosition::LowerRight));
        let falling = [(0.1, 0.9), (0.5, 0.3), (0.9, 0.1)];
        assert!(matches!(corner(&falling), SeriesLabelPosition::UpperRight));
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, 10.0, 2000.0, 0.5, 0.1 + 0.2].map(|value| tick(&value)), ["0", "10", "2000", "0.5", "0.3"]);
    }

    #[test]
    fn text_and_curves_leave_marks() {
        let axes = Axes { title: "Loss", x: "updates", y: "nats", max_y: f64::INFINITY };
        let path = std::env::temp_dir().join(format!("decalage-plot-{}.png", std::process::id()));
        draw(&[], &axes, &path).unwrap();
        let empty = std::fs::read(&path).unwrap();
        let curve = Curve { name: "dev".into(), points: vec![(0.0, 3.0), (10.0, 1.0)], ..Curve::default() };
        draw(&[curve], &axes, &path).unwrap();
        let full = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&empty[1..4], b"PNG");
        assert!(full.len() > empty.len(), "{} bytes, without curve and legend {}", full.len(), empty.len());
    }

    #[test]
    fn names_the_file_that_cannot_be_written() {
        let axes = Axes { title: "", x: "", y: "", max_y: 1.0 };
        let error = draw(&[], &axes, Path::new("/no/such/folder/a.png")).unwrap_err().to_string();
        assert!(error.starts_with("cannot draw /no/such/folder/a.png: "), "{error}");
    }
}
