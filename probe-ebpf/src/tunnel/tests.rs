//! Tests of the walk through encapsulations.
