//! Sequences compared by the product and by a model that knows pages one by one.

mod measured;
mod model;
mod pages;
mod settings;
