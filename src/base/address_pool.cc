#include "base/address_pool.h"

#include <algorithm>
#include <array>

#include "base/text_parts.h"

namespace keles {

namespace {

IpAddress last_of(const IpPrefix& range) {
  std::array<uint8_t, 16> raw{};
  const auto base = range.base.bytes();
  std::copy(base.begin(), base.end(), raw.begin());
  for (int bit = range.length; bit < range.whole(); ++bit) {
    raw[static_cast<size_t>(bit) / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
  }
  const auto last = IpAddress::from_bytes(std::span<const uint8_t>(raw.data(), base.size()));
  return last.value_or(range.base);
}

// What nothing can be reached at, within a span whose ends can be.
bool holds_unreachable(const IpAddress& first, const IpAddress& last) {
  for (const char* text : {"127.0.0.0", "169.254.0.0", "224.0.0.0", "fe80::", "ff00::"}) {
    const auto at = IpAddress::parse(text);
    if (at->v6() == first.v6() && first <= *at && *at <= last) return true;
  }
  return false;
}

}  // namespace

Result<AddressPool::Range> AddressPool::parse_range(std::string_view text) {
  auto wrong = [&](const std::string& why) {
    return Status::bad_request("\"" + std::string(text) + "\" " + why);
  };
  Range out;
  out.text = text;
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = IpAddress::parse(text.substr(0, dash));
    const auto last = IpAddress::parse(text.substr(dash + 1));
    if (!first || !last) return wrong("is no range: want FIRST-LAST, such as 10.0.0.16-10.0.0.31");
    if (first->v6() != last->v6()) return wrong("is of two families: give a range of each");
    if (*last < *first) return wrong("ends before it starts: want FIRST-LAST");
    out.first = *first;
    out.last = *last;
  } else {
    const auto prefix = IpPrefix::parse_or_address(text);
    if (!prefix) return wrong("is no range of addresses: want 10.0.0.16/28 or 10.0.0.16-10.0.0.31");
    if (prefix->has_host_bits())
      return wrong("is no range, but an address within one: want " + prefix->network().text() +
                   ", or " + prefix->base.text() + " alone");
    out.first = prefix->base;
    out.last = last_of(*prefix);
  }
  if (!out.first.is_global_unicast() || !out.last.is_global_unicast() ||
      holds_unreachable(out.first, out.last))
    return wrong(
        "has addresses at which nothing can be reached: want none of loopback, "
        "link-local, multicast and broadcast");
  return out;
}

Result<AddressPool> AddressPool::parse(std::string_view list) {
  AddressPool out;
  for (std::string_view one : split_list(list)) {
    TRY_ASSIGN(range, parse_range(one));
    for (const Range& o : out.ranges_) {
      if (range.first.v6() == o.first.v6() && range.first <= o.last && o.first <= range.last)
        return Status::bad_request("\"" + range.text + "\" has addresses of \"" + o.text +
                                   "\": want each once");
    }
    if (out.ranges_.size() == kMostRanges)
      return Status::bad_request("more than " + std::to_string(kMostRanges) + " ranges");
    out.ranges_.push_back(std::move(range));
  }
  return out;
}

bool AddressPool::has_family(bool v6) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return r.first.v6() == v6; });
}

bool AddressPool::contains(const IpAddress& a) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& r) {
    return r.first.v6() == a.v6() && r.first <= a && a <= r.last;
  });
}

std::string AddressPool::overlap(const IpPrefix& other) const {
  const IpAddress first = other.network().base, last = last_of(other.network());
  for (const Range& r : ranges_) {
    if (r.first.v6() == first.v6() && r.first <= last && first <= r.last) return r.text;
  }
  return "";
}

std::optional<IpAddress> AddressPool::first_free(bool v6, const std::set<IpAddress>& taken) const {
  for (const Range& r : ranges_) {
    if (r.first.v6() != v6) continue;
    // As many steps as there are taken ones, however large the range is.
    IpAddress a = r.first;
    auto next = taken.lower_bound(a);
    while (next != taken.end() && *next == a && a != r.last) {
      a = a.plus(1);
      ++next;
    }
    if (next == taken.end() || *next != a) return a;
  }
  return std::nullopt;
}

std::string AddressPool::text() const {
  std::string out;
  for (const Range& r : ranges_) out += (out.empty() ? "" : ",") + r.text;
  return out;
}

}  // namespace keles
