// Stored forms of versions that are served no more, as those that are. Upstream keeps
// CustomResourceDefinitions in JSON as v1beta1, and so they lie in an etcd that an upstream API
// server has written. Pure, any thread.
#pragma once

#include <string_view>

#include "machinery/value.h"

namespace keles {

// Whether stored objects of this kind and version are read as another version of it.
bool is_older_version(std::string_view api_version, std::string_view kind);

// Makes the tree of such an object one of the version that is served.
void to_served_version(Document& object);

}  // namespace keles
