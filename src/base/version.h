// What this build calls itself.
#pragma once

namespace keles {

inline constexpr char kKelesVersion[] = "v0.1.0";
// The Kubernetes API that it serves, as /version and `kubectl get nodes` show it.
inline constexpr char kGitVersion[] = "v1.36.2+keles";
inline constexpr char kMajor[] = "1";
inline constexpr char kMinor[] = "36";

}  // namespace keles
