// Blocks of a PEM text (RFC 7468, and RFC 1421's headers), as they stand in it: nothing is
// decoded. Pure; any thread.
#pragma once

#include <string_view>
#include <vector>

namespace keles::net {

struct PemBlock {
  std::string_view label;  // what stands behind BEGIN
  std::string_view text;   // from the dashes of BEGIN to those of END
  bool headers = false;    // "Proc-Type: ..." and their like stand before the data
};

// In the order of the text, which they point into; what stands between blocks is left out, and so
// is a block without its end. At most a thousand.
std::vector<PemBlock> pem_blocks(std::string_view text);

}  // namespace keles::net
