//! The whole front end on loopback: a real store with small networks, a real listener, real connections.

mod life;
mod limits;
mod predict;
mod routes;
mod support;
