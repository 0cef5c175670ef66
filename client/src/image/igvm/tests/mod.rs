//! Files made with the igvm crate, loaded here, and held against its own measurement.

mod bounds;
mod broken;
mod data;
mod digests;
mod headers;
mod id_block;
mod made;
mod parameters;
mod platforms;
mod refused;
mod settings;
mod vcpus;
