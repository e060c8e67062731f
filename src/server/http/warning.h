// The Warning header (RFC 7234, 5.5; KEP-1693): what a request was told beside its answer. Pure,
// any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machinery/schema.h"

namespace keles::server {

// The header's values for texts in the order in which they were said: each once; none that is not
// UTF-8 or holds control characters. More than 4,096 characters in all and each is cut to 256, and
// what comes after 4,096 cut ones is left out.
std::vector<std::string> warning_values(const std::vector<std::string>& texts);

// What every request for a kind is told that is on its way out: "v1 Endpoints is deprecated in
// v1.33+; use discovery.k8s.io/v1 EndpointSlice"; "" for the others.
std::string_view deprecation_warning(const KindDesc& kind);

// What the sender of an Authorization header is told when its token is not taken for one.
std::string_view token_warning(std::string_view authorization);

}  // namespace keles::server
