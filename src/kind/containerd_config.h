// containerd's configuration on a node that is ours: the CRI plugin, the pause image that is part
// of this program, CNI where its plugins are.
#pragma once

#include <string>

namespace keles::kind {

// TOML, without where it keeps its things.
std::string containerd_config(const std::string& snapshotter, bool restrict_oom_score_adj);
// "overlayfs", or "native" where an overlay cannot be below `directory` (another overlay).
std::string containerd_snapshotter(const std::string& directory);
// Whether processes may not lower their oom_score_adj here.
bool restricts_oom_score_adj();

}  // namespace keles::kind
