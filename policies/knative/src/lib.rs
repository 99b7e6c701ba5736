//! The pod autoscaler of Knative (KPA), for policies that sit on it: Kubetorch and Flyte apps.
