// Where a Status carries the token by which a client goes on after its list has expired: a cause of
// this field holds no cause but metadata.continue (status_codec.h writes and reads it there).
#pragma once

#include <string_view>

namespace keles {

inline constexpr std::string_view kContinueCause = "metadata.continue";

}  // namespace keles
