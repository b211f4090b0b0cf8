package apiv1

// ClusterHeader carries the id of a cluster, as metadata of gRPC and, written Berth-Cluster, as a header of HTTP. In an
// answer it is the server's. In a call it is the one that the caller expects: a server of another refuses the call with
// CLUSTER_MISMATCH before it does anything.
const ClusterHeader = "berth-cluster"
