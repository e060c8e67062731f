// What the extension server says of itself: discovery and OpenAPI.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keles::extension {

struct Text {
  std::string body, content_type = "application/json";
};

// The answer to GET `path`; nothing when it is no such document.
std::optional<Text> document(std::string_view path, std::string_view accept);

}  // namespace keles::extension
