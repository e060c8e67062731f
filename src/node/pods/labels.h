// The labels and annotations by which sandboxes and containers are known as a pod's: the agent
// keeps no state of its own, so they are how a restarted agent finds what is its. Upstream's names,
// so that crictl and other tools understand them.
#pragma once

namespace keles::node {

inline constexpr const char* kPodNameLabel = "io.kubernetes.pod.name";
inline constexpr const char* kPodNamespaceLabel = "io.kubernetes.pod.namespace";
inline constexpr const char* kPodUidLabel = "io.kubernetes.pod.uid";
inline constexpr const char* kContainerNameLabel = "io.kubernetes.container.name";
inline constexpr const char* kHashAnnotation = "io.kubernetes.container.hash";
inline constexpr const char* kRestartCountAnnotation = "io.kubernetes.container.restartCount";
inline constexpr const char* kTerminationPathAnnotation =
    "io.kubernetes.container.terminationMessagePath";
inline constexpr const char* kTerminationPolicyAnnotation =
    "io.kubernetes.container.terminationMessagePolicy";
// Ours: the file on the host that is mounted at the termination message path.
inline constexpr const char* kTerminationFileAnnotation = "keles.io/termination-message-file";
inline constexpr const char* kGracePeriodAnnotation = "io.kubernetes.pod.terminationGracePeriod";

}  // namespace keles::node
