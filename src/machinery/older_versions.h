// Stored forms of versions that are served no more, as those that are. Upstream keeps
// CustomResourceDefinitions as v1beta1, whose protobuf differs from v1's in a few fields only, and
// so they lie in an etcd that an upstream API server has written. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace keles {

// Whether records of this kind and version are read as another version of it.
bool is_older_version(std::string_view api_version, std::string_view kind);

// The whole record, envelope included, of such a kind as the version that is served.
Result<std::string> in_served_version(std::string_view stored);

}  // namespace keles
