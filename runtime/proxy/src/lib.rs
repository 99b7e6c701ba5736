//! Samovar's HTTP/1.1 client towards native replicas: pooled connections, streaming both ways.
