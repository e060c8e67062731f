// Applies nftables rules in the network namespace of the calling process. Blocks for some
// milliseconds.
#pragma once

#include <string>

#include "base/status.h"

namespace keles {

// `text` is nft(8)'s own grammar (the JSON one of libnftables 1.0.6 crashes on maps); all of it
// takes effect at once, or none. It must be made from typed values only: what it says runs as root.
Status apply_nftables(const std::string& text);

// The two lines that remove table `name` of a family ("ip", "ip6"), whether or not it is there.
std::string nftables_without_table(const std::string& name, const std::string& family = "ip");

}  // namespace keles
