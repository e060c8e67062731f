// ConversionReview (apiextensions.k8s.io/v1, v1beta1): what is sent to a conversion webhook, and
// what of its answer is taken. Pure; any thread. Texts of errors are upstream's
// (apiextensions-apiserver/pkg/apiserver/conversion).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::conversion {

inline constexpr size_t kMaxAnswerBytes = 64u << 20;

struct Review {
  std::string_view version;              // "v1" or "v1beta1"
  std::string uid;                       // of the request; a v1 answer repeats it
  std::string desired;                   // "example.com/v2"
  std::span<const DocumentPtr> objects;  // of other versions, whole
};

// The body of the request.
std::string request_text(const Review& review);

// What kind of answer was none, as a metric calls it.
enum class AnswerFault { kNone, kMalformed, kPartial, kInvalidObject };

// The objects of an answer, each with the metadata of the one that it was made of but for labels
// and annotations. Errors are kInternal: "conversion webhook for example.com/v1, Kind=Thing ...".
// `fault`: what of it is wrong; may be null.
Result<std::vector<Document>> converted_objects(const Review& review, std::string_view answer,
                                                AnswerFault* fault = nullptr);

// An error of the call itself, as upstream words it.
Status call_failed(const Review& review, std::string_view why);

}  // namespace keles::conversion
