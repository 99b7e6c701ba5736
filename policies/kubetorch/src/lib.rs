//! Scales like Kubetorch, which is the autoscaler of Knative.
