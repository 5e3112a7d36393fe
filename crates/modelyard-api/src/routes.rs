//! Routes and what is told of them, said in one place: what is served is in the OpenAPI document.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};

use crate::router::Service;

/// What a client must know of one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// What it does, in a sentence.
    pub(crate) summary: &'static str,
    /// What it takes.
    pub(crate) takes: Content,
    /// What it answers with 200.
    pub(crate) gives: Content,
    /// The statuses of its refusals.
    pub(crate) refuses: &'static [u16],
}

/// A body's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// None.
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of this schema, with raw tensors behind it where a header says so.
    Tensors(&'static str),
    /// JSON of this schema, or one image as it is.
    JsonOrImage(&'static str),
    /// JSON of this schema, or nothing at all.
    JsonOrNothing(&'static str),
    /// JSON of this schema, with 200 or 503.
    State(&'static str),
    /// Text of this media type.
    Text(&'static str),
}

/// One path, one method.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) about: About,
}

/// Routes with their operations.
pub(crate) struct Routes {
    router: Router<Service>,
    operations: Vec<Operation>,
}

impl Routes {
    /// None.
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), operations: Vec::new() }
    }

    /// Adds a GET.
    pub(crate) fn get<H, T>(self, path: &'static str, handler: H, about: About) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        let router = self.router.route(path, get(handler));
        Self { router, ..self }.with("get", path, about)
    }

    /// Adds a POST.
    pub(crate) fn post<H, T>(self, path: &'static str, handler: H, about: About) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        self.post_as(path, path, handler, about)
    }

    /// Adds a POST whose path ends in a verb, which the router takes for a part of the last name.
    pub(crate) fn post_as<H, T>(
        self,
        path: &'static str,
        shown: &'static str,
        handler: H,
        about: About,
    ) -> Self
    where
        H: Handler<T, Service>,
        T: 'static,
    {
        let router = self.router.route(path, post(handler));
        Self { router, ..self }.with("post", shown, about)
    }

    fn with(mut self, method: &'static str, path: &'static str, about: About) -> Self {
        self.operations.push(Operation { method, path, about });
        self
    }

    /// Both lists as one.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        Self { router: self.router.merge(other.router), operations: self.operations }
    }

    /// What axum needs, and what the document needs.
    pub(crate) fn into_parts(self) -> (Router<Service>, Vec<Operation>) {
        (self.router, self.operations)
    }
}
