//! `stagepages-node-agent`: what a Kubernetes node needs to stage launches.
#![forbid(unsafe_code)]

fn main() {}
