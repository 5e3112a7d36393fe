//! Image patches as rows of a matrix (im2col) and back (col2im).

use crate::cpu::{self, Arithmetic, Kernel};
use crate::layers::window::Window;

/// Copies each output position's patch into one row, zeros where it hangs over the edge.
pub(crate) fn gather(window: &Window, images: &[f32], columns: &mut [f32]) {
    let image_len = window.input_len();
    let column_len = window.positions() * window.taps();
    for (image, columns) in images.chunks_exact(image_len).zip(columns.chunks_exact_mut(column_len)) {
        match window.columns.size * window.channels {
            _ if window.columns.dilation > 1 => gather_dilated(window, image, columns),
            3 => gather_image::<3>(window, image, columns),
            5 => gather_image::<5>(window, image, columns),
            9 => gather_image::<9>(window, image, columns),
            _ => gather_image::<0>(window, image, columns),
        }
    }
}

/// `LINE` is the length of one line of a patch where the compiler should know it, otherwise 0.
fn gather_image<const LINE: usize>(window: &Window, image: &[f32], columns: &mut [f32]) {
    let row_len = window.columns.input * window.channels;
    let line_len = if LINE > 0 { LINE } else { window.columns.size * window.channels };
    let whole_columns = window.columns.whole();
    let mut patches = columns.chunks_exact_mut(window.taps());
    for y in 0..window.rows.output {
        let whole_row = window.rows.inside(y).len() == window.rows.size;
        for (x, patch) in (0..window.columns.output).zip(&mut patches) {
            if !whole_row || !whole_columns.contains(&x) {
                gather_edge(window, image, patch, (y, x));
                continue;
            }
            let from = window.rows.source(y, 0) * row_len + window.columns.source(x, 0) * window.channels;
            let lines = image[from..].chunks(row_len).step_by(window.rows.dilation);
            for (to, line) in patch.chunks_exact_mut(line_len).zip(lines) {
                to.copy_from_slice(&line[..line_len]);
            }
        }
    }
}

/// A patch that hangs over the edge.
fn gather_edge(window: &Window, image: &[f32], patch: &mut [f32], (y, x): (usize, usize)) {
    let channels = window.channels;
    let inside = window.columns.inside(x);
    let len = inside.len() * channels;
    patch.fill(0.0);
    for tap in window.rows.inside(y) {
        let row = window.rows.source(y, tap) * window.columns.input;
        let from = (row + window.columns.source(x, inside.start)) * channels;
        let to = (tap * window.columns.size + inside.start) * channels;
        patch[to..to + len].copy_from_slice(&image[from..from + len]);
    }
}

/// Patches whose lines have gaps: pixel by pixel.
fn gather_dilated(window: &Window, image: &[f32], columns: &mut [f32]) {
    let channels = window.channels;
    let mut patches = columns.chunks_exact_mut(window.taps());
    for y in 0..window.rows.output {
        for (x, patch) in (0..window.columns.output).zip(&mut patches) {
            patch.fill(0.0);
            for (pixel, tap) in pixels(window, (y, x)) {
                patch[tap..tap + channels].copy_from_slice(&image[pixel..pixel + channels]);
            }
        }
    }
}

/// Each position of a window that lies inside: its place in the image, and in the patch.
fn pixels(window: &Window, (y, x): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    let Window { rows, columns, channels } = *window;
    rows.inside(y).flat_map(move |line| {
        columns.inside(x).map(move |column| {
            let pixel = rows.source(y, line) * columns.input + columns.source(x, column);
            (pixel * channels, (line * columns.size + column) * channels)
        })
    })
}

/// Adds each patch's values back onto the image positions that they came from.
pub(crate) fn scatter(window: &Window, columns: &[f32], images: &mut [f32]) {
    images.fill(0.0);
    let image_len = window.input_len();
    let column_len = window.positions() * window.taps();
    for (image, columns) in images.chunks_exact_mut(image_len).zip(columns.chunks_exact(column_len)) {
        if window.columns.dilation > 1 {
            scatter_dilated(window, columns, image);
        } else {
            cpu::run(Scatter { window, columns, image });
        }
    }
}

fn scatter_dilated(window: &Window, columns: &[f32], image: &mut [f32]) {
    let channels = window.channels;
    let mut patches = columns.chunks_exact(window.taps());
    for y in 0..window.rows.output {
        for (x, patch) in (0..window.columns.output).zip(&mut patches) {
            for (pixel, tap) in pixels(window, (y, x)) {
                let values = &patch[tap..tap + channels];
                image[pixel..pixel + channels].iter_mut().zip(values).for_each(|(to, from)| *to += from);
            }
        }
    }
}

struct Scatter<'a> {
    window: &'a Window,
    columns: &'a [f32],
    image: &'a mut [f32],
}

impl Kernel for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { window, columns, image } = self;
        let (channels, width) = (window.channels, window.columns.input);
        let line = window.columns.size * channels;
        let mut patches = columns.chunks_exact(window.taps());
        for y in 0..window.rows.output {
            for (x, patch) in (0..window.columns.output).zip(&mut patches) {
                let inside = window.columns.inside(x);
                let len = inside.len() * channels;
                for tap in window.rows.inside(y) {
                    let row = window.rows.source(y, tap) * width;
                    let to = (row + window.columns.source(x, inside.start)) * channels;
                    let from = tap * line + inside.start * channels;
                    for (to, &from) in image[to..to + len].iter_mut().zip(&patch[from..from + len]) {
                        *to += from;
                    }
                }
            }
        }
    }
}
