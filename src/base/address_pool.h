// A pool of addresses as its owner writes it: ranges ("10.0.0.16/28") and spans
// ("10.0.0.16-10.0.0.31", "fd00::10-fd00::1f"), single addresses too, of either family. Pure; any
// thread may read one.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/status.h"

namespace keles {

class AddressPool {
 public:
  // How many ranges there may be.
  static constexpr size_t kMostRanges = 64;

  AddressPool() = default;  // empty
  // An error says which text is wrong and what is wanted: not a range, its end before its start or
  // of another family, host bits, addresses that nothing can be reached at (loopback, link-local,
  // multicast), one address twice. "" is the empty pool.
  static Result<AddressPool> parse(std::string_view list);

  bool empty() const { return ranges_.empty(); }
  bool has_family(bool v6) const;
  bool contains(const IpAddress& a) const;
  // A range of the pool that shares an address with `other`; "" when none does.
  std::string overlap(const IpPrefix& other) const;
  // The first of that family, in the order of the ranges, that is not in `taken`.
  std::optional<IpAddress> first_free(bool v6, const std::set<IpAddress>& taken) const;
  std::string text() const;

 private:
  struct Range {
    IpAddress first, last;
    std::string text;
  };
  static Result<Range> parse_range(std::string_view text);
  std::vector<Range> ranges_;
};

}  // namespace keles
