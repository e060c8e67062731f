// The list of kinds with hooks. To add one: write registry/<kind>.cc, name its strategy here.
#include "server/registry/strategy.h"

namespace keles::registry {

std::vector<const Strategy*> all_strategies() { return {}; }

}  // namespace keles::registry
