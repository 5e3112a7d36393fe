//! Predictions for people and simple programs: rows by name in, named answers out.
//!
//! `POST /v1/models/{model}[/versions/{version}]:predict` is the form of TensorFlow Serving and of KServe's
//! first protocol: `{"instances": [row, …]}` → `{"predictions": [answer, …]}`. `POST /predict`, where
//! exactly one model is served, is its smallest form: `{"input": row}` → `{"prediction": answer}`.
//!
//! **A row** is an object of values by the pipeline's input names, or the bare value where there is one
//! input: a number, a text, an array of numbers, an image as `{"b64": "…"}` or base64 text. One image may
//! also be sent as the raw body with a content type `image/…`. For a model without a pipeline a row is the
//! nested array of its one input, or an object of such arrays by input name.
//!
//! **An answer** is always an object by output name, so that adding an output breaks no client: a category
//! is `{"label": …, "probabilities": {label: p, …}}`, a number is a number. A model without a pipeline
//! answers the nested array of its one output, or an object of them.
//!
//! `x-model-version` names the version that answered.

mod convert;
mod generation;
pub(crate) mod http;
mod streaming;
#[cfg(test)]
mod tests;
mod wire;
