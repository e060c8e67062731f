// An Accept field (RFC 9110, 12.5.1): the media ranges that a client takes, the best first. Every
// server here asks this one what to answer with. Pure; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace keles::net {

// One range. The views point into the field.
class MediaRange {
 public:
  explicit MediaRange(std::string_view clause);
  // "application/json", in lower case.
  const std::string& type() const { return type_; }
  // Whether it takes `type` ("application/json"), if only by a wildcard.
  bool takes(std::string_view type) const;
  // The value of a parameter as it is written; "" when it has none of that name.
  std::string_view parameter(std::string_view name) const;
  // Calls `fn` with each parameter, in the order of the field.
  void parameters(
      const std::function<void(std::string_view name, std::string_view value)>& fn) const;

 private:
  std::string type_;
  std::string_view parameters_;
};

// Calls `take` with each range until it returns true, and says whether it did. The better quality
// comes first, of equals that without wildcards, then the earlier. At most kMaxRanges are looked
// at.
inline constexpr size_t kMaxRanges = 64;
bool best_range(std::string_view accept, const std::function<bool(const MediaRange&)>& take);

}  // namespace keles::net
