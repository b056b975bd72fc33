//! Connections against the limit, as two lines of dots.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::canvas::{Canvas, Context, Line as Stroke};
use ratatui::widgets::{Block, Borders};

use super::look::{SPAN, Sample};

/// The colours of the two lines and of their labels.
pub(super) const ACTIVE: Color = Color::Cyan;
pub(super) const LIMIT: Color = Color::Magenta;

/// The colour where the two lines meet: the limit is reached, and clients are rejected.
const FULL: Color = Color::Red;

/// The shortest span of the plot in seconds, also for a server that has just started.
const SHORTEST_SPAN: usize = 60;

/// The plot shows this many seconds without a sample as a gap; fewer are a late tick.
const GAP: i64 = 3;

/// The least number of lines for each number beside the plot.
const LINES_PER_NUMBER: u16 = 3;

pub(super) fn draw(samples: &[Sample], frame: &mut Frame<'_>, area: Rect) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    #[expect(clippy::cast_precision_loss, reason = "seconds on a plot")]
    let ago = |sample: &Sample| (sample.time.as_second() - last.time.as_second()) as f64;
    // Whole minutes that cover all samples.
    #[expect(clippy::cast_precision_loss, reason = "seconds on a plot")]
    let span = ((-ago(first) / 60.0).ceil() * 60.0).clamp(SHORTEST_SPAN as f64, SPAN as f64);
    let highest = samples.iter().map(|sample| sample.active.max(sample.limit)).max().unwrap_or(1);
    let [above, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(area);
    let (top, step) = scale(highest, above.height / LINES_PER_NUMBER);
    let width = u16::try_from(top.to_string().len()).unwrap_or_default();
    let sides = [Constraint::Length(width), Constraint::Min(0)];
    let [numbers, dots] = Layout::horizontal(sides).areas(above);
    let [_, times] = Layout::horizontal(sides).areas(below);
    write_numbers(top, step, numbers, frame.buffer_mut());
    write_times(span, times, frame);
    let frame_of_dots =
        Block::new().borders(Borders::LEFT | Borders::BOTTOM).border_style(Style::new().dim());
    let canvas = Canvas::default()
        .block(frame_of_dots)
        .marker(Marker::Braille)
        .x_bounds([-span, 0.0])
        .y_bounds([0.0, top as f64])
        .paint(|context| {
            // One layer, so that a cell that both lines pass shows the dots of both.
            draw_line(context, samples, ago, |sample| (sample.limit, LIMIT));
            draw_line(context, samples, ago, |sample| {
                (sample.active, if sample.active >= sample.limit { FULL } else { ACTIVE })
            });
        });
    frame.render_widget(canvas, dots);
}

/// A line from sample to sample, interrupted at gaps.
fn draw_line(
    context: &mut Context<'_>,
    samples: &[Sample],
    ago: impl Fn(&Sample) -> f64,
    value: impl Fn(&Sample) -> (u32, Color),
) {
    let mut before: Option<(&Sample, f64, f64)> = None;
    for sample in samples {
        let (value, color) = value(sample);
        let (x, y) = (ago(sample), f64::from(value));
        // A sample by itself is a dot.
        let (x1, y1) = match before {
            Some((before, x, y)) if sample.time.as_second() - before.time.as_second() < GAP => (x, y),
            _ => (x, y),
        };
        context.draw(&Stroke::new(x1, y1, x, y, color));
        before = Some((sample, x, y));
    }
}

/// The top of the scale, above all values, and its round steps: at most the requested number of steps, or one.
fn scale(highest: u32, steps: u16) -> (u64, u64) {
    // A limit at the very top would look like a frame.
    let (least, steps) = (u64::from(highest) + u64::from(highest) / 20 + 1, u64::from(steps.max(1)));
    let rounds =
        (0..10).map(|power| 10_u64.pow(power)).flat_map(|power| [1, 2, 3, 4, 5, 6, 8].map(|n| n * power));
    let step = rounds.into_iter().find(|step| step * steps >= least).unwrap_or(least);
    (least.div_ceil(step) * step, step)
}

/// The numbers of the scale, each beside its line of cells.
fn write_numbers(top: u64, step: u64, area: Rect, buffer: &mut Buffer) {
    // The lowest line is the frame's.
    let lines = u64::from(area.height.saturating_sub(1));
    if lines == 0 {
        return;
    }
    for number in (0..=top / step).map(|number| number * step) {
        let down = u16::try_from((top - number) * lines / top).unwrap_or_default();
        let line = Rect { y: area.y + down, height: 1, ..area };
        let text = Line::from(number.to_string()).alignment(Alignment::Right).dim();
        ratatui::widgets::Widget::render(text, line, buffer);
    }
}

/// How long ago, at both ends and in the middle.
fn write_times(span: f64, area: Rect, frame: &mut Frame<'_>) {
    let places = [(-span, Alignment::Left), (-span / 2.0, Alignment::Center), (0.0, Alignment::Right)];
    for (ago, alignment) in places {
        let text = match ago {
            0.0 => "now".to_owned(),
            ago if ago > -60.0 => format!("{ago} s"),
            ago => format!("{} min", ago / 60.0),
        };
        frame.render_widget(Line::from(text).alignment(alignment).dim(), area);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const WIDTH: u16 = 64;

    /// The plot of these pairs of active and limit, one per second, as cells with their colours, line by line.
    fn cells(seconds: impl IntoIterator<Item = (i64, u32, u32)>) -> Vec<Vec<(String, Color)>> {
        let samples: Vec<_> = seconds
            .into_iter()
            .map(|(second, active, limit)| {
                let time = Timestamp::from_second(second).unwrap();
                Sample { time, active, limit, accepted: 0, rejected: 0 }
            })
            .collect();
        let mut terminal = Terminal::new(TestBackend::new(WIDTH, 14)).unwrap();
        terminal.draw(|frame| draw(&samples, frame, frame.area())).unwrap();
        let cells = terminal.backend().buffer().content().iter();
        let cells: Vec<_> = cells.map(|cell| (cell.symbol().to_owned(), cell.fg)).collect();
        cells.chunks(usize::from(WIDTH)).map(<[_]>::to_vec).collect()
    }

    /// The columns with dots of this colour.
    fn columns(cells: &[Vec<(String, Color)>], colours: &[Color]) -> Vec<usize> {
        let is_dotted = |(symbol, colour): &(String, Color)| {
            symbol.chars().any(|symbol| ('\u{2801}'..='\u{28ff}').contains(&symbol))
                && colours.contains(colour)
        };
        (0..usize::from(WIDTH)).filter(|column| cells.iter().any(|line| is_dotted(&line[*column]))).collect()
    }

    #[test]
    fn the_scale_ends_at_a_round_number_above_all_that_is_seen() {
        for (highest, steps, expected) in [
            (170, 4, (200, 50)),
            (200, 4, (240, 60)),
            (1000, 4, (1200, 300)),
            (1, 3, (2, 1)),
            (3, 1, (4, 4)),
            (19_900, 5, (25_000, 5000)),
            (0, 0, (1, 1)),
        ] {
            assert_eq!(scale(highest, steps), expected, "{highest}");
        }
        let (top, step) = scale(u32::MAX, 5);
        assert!(top > u32::MAX.into() && top % step == 0);
    }

    #[test]
    fn the_lines_have_no_hole_where_they_come_near_each_other() {
        // Up to the limit and down again, past every distance to it.
        let cells = cells((0..=60_i64).map(|second| {
            let away = u32::try_from((second - 30).abs()).unwrap();
            (second, 100 - away.saturating_sub(5), 100)
        }));
        let all = columns(&cells, &[ACTIVE, FULL]);
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1) && all.len() > 50, "{all:?}");
        let full = columns(&cells, &[FULL]);
        assert!((8..20).contains(&full.len()), "red while it is at the limit: {full:?}");
        // The limit's own dots are there in all columns, too, in whatever colour: that line has one height.
        let line = cells.iter().find(|line| line.iter().any(|(_, colour)| *colour == LIMIT)).unwrap();
        let dotted = line.iter().filter(|(symbol, _)| symbol.chars().any(|symbol| symbol > '\u{2800}'));
        assert!(dotted.count() > 50);
    }

    #[test]
    fn where_there_are_no_samples_there_is_no_line() {
        let cells =
            cells((0..=60).filter(|second| !(20..40).contains(second)).map(|second| (second, 10, 100)));
        let drawn = columns(&cells, &[ACTIVE]);
        let holes = drawn.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        assert!(holes == 1 && drawn.len() < 50, "{drawn:?}");
    }

    #[test]
    fn numbers_stand_beside_their_lines() {
        let cells = cells((0..=60).map(|second| (second, 100, 170)));
        let text: Vec<String> =
            cells.iter().map(|line| line.iter().map(|(symbol, _)| symbol.as_str()).collect()).collect();
        let numbers: Vec<_> = text.iter().map(|line| line[..3].trim().to_owned()).collect();
        assert_eq!(
            numbers.iter().filter(|number| !number.is_empty()).collect::<Vec<_>>(),
            ["200", "150", "100", "50", "0"]
        );
        assert!(text.last().unwrap().trim().starts_with("-1 min") && text.last().unwrap().ends_with("now"));
    }
}
