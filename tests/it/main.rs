//! Black-box tests: they start the built program and talk to it.
