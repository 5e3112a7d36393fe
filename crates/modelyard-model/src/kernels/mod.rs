//! The inner loops: everything that takes time.

pub(crate) mod attention;
pub(crate) mod columns;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod few_rows;
pub(crate) mod layer_norm;
pub(crate) mod math;
pub(crate) mod over_steps;
pub(crate) mod panels;
pub(crate) mod pooling;
pub(crate) mod product;
pub(crate) mod resize;
pub(crate) mod rows;
pub(crate) mod small;
pub(crate) mod tiles;
pub(crate) mod vectors;
pub(crate) mod winograd;
