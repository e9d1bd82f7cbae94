//! The plane over real sockets.
