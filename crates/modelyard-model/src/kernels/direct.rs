//! Convolution straight from the image, without columns of patches: by transformed tiles where that saves
//! products, and else by plain ones.

use super::tiles::{Filters, Tiles};
use super::winograd::Winograd;
use crate::layers::window::Window;
use crate::memory::Hidden;

/// A convolution without columns.
pub(crate) struct Direct {
    tiles: Tiles,
    winograd: Option<Winograd>,
}

impl Direct {
    /// The convolution, where no columns are the fastest way.
    pub(crate) fn new(window: &Window, filters: usize) -> Option<Self> {
        Some(Self { tiles: Tiles::new(window, filters)?, winograd: Winograd::new(window, filters) })
    }

    /// Whether no columns are the fastest way.
    pub(crate) fn fit(window: &Window, filters: usize) -> bool {
        Tiles::fit(window, filters)
    }

    /// What it keeps beside one image.
    pub(crate) fn hidden(window: &Window, filters: usize) -> Hidden {
        let [image, weights] = Winograd::hidden(window, filters);
        let both = Hidden::fixed(&[image]).and(Hidden::fixed(&[weights]));
        both.when(Self::fit(window, filters) && Winograd::fit(window, filters))
    }

    /// Convolves images one by one. How many there are decides the way, and with it the rounding.
    pub(crate) fn run(&mut self, images: &[f32], filters: Filters<'_>, outputs: &mut [f32]) {
        match &mut self.winograd {
            Some(winograd) if winograd.pays_for(images) => winograd.run(images, filters, outputs),
            _ => self.tiles.run(images, filters, outputs),
        }
    }
}
