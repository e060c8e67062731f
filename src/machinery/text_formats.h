// The formats of strings that a schema can name (OpenAPI's and Kubernetes' own), as upstream
// checks them. Pure, any thread.
#pragma once

#include <string_view>

namespace keles {

struct TextFormat {
  std::string_view name;  // as it is said in messages: without dashes, but for k8s-short-name
  bool (*valid)(std::string_view);
};

// Null for a format that is not known, which asks for nothing. Dashes do not count: "date-time" is
// "datetime".
const TextFormat* find_text_format(std::string_view name);

// An address as Go's net/mail parses it, with or without a display name.
bool is_email(std::string_view s);
// An absolute URI or an absolute path, as Go's net/url.ParseRequestURI takes them.
bool is_request_uri(std::string_view s);

}  // namespace keles
