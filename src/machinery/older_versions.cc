#include "machinery/older_versions.h"

#include <vector>

#include "machinery/codec_protobuf.h"

namespace keles {
namespace {

constexpr std::string_view kDefinition = "CustomResourceDefinition";
constexpr std::string_view kOld = "apiextensions.k8s.io/v1beta1";
constexpr std::string_view kNow = "apiextensions.k8s.io/v1";

// A field as it stands in a message: its number and, of one that has a length, what is in it.
struct Part {
  uint32_t number;
  bool sized;
  std::string_view whole;   // with its tag
  std::string_view inside;  // sized only
};

Result<std::vector<Part>> parts_of(std::string_view message) {
  std::vector<Part> out;
  WireReader r(message);
  while (!r.done()) {
    const size_t from = r.position();
    Part p{r.tag(), false, {}, {}};
    p.sized = r.type() == 2;
    if (p.sized) {
      p.inside = r.bytes();
    } else {
      r.skip();
    }
    if (!r.ok() || p.number == 0) return Status::internal("stored definition is damaged");
    p.whole = message.substr(from, r.position() - from);
    out.push_back(p);
  }
  return out;
}

// What was said of all versions at once, which v1 says of each.
std::string version(std::string_view own, const std::vector<Part>& of_all) {
  std::string out(own);
  for (const Part& p : of_all) {
    switch (p.number) {
      case 5:  // validation: schema
        append_bytes_field(out, 4, p.inside);
        break;
      case 6:  // subresources
        append_bytes_field(out, 5, p.inside);
        break;
      case 8:  // additionalPrinterColumns
        append_bytes_field(out, 6, p.inside);
        break;
      case 11:  // selectableFields
        append_bytes_field(out, 9, p.inside);
        break;
      default:
        break;
    }
  }
  return out;
}

// The client and the versions of reviews: v1 has a webhook that holds both.
Result<std::string> conversion(std::string_view message) {
  TRY_ASSIGN(parts, parts_of(message));
  std::string out, webhook;
  for (const Part& p : parts) {
    if (p.sized && (p.number == 2 || p.number == 3)) {
      append_bytes_field(webhook, p.number, p.inside);
    } else {
      out += p.whole;
    }
  }
  if (!webhook.empty()) append_bytes_field(out, 2, webhook);
  return out;
}

Result<std::string> spec(std::string_view message) {
  TRY_ASSIGN(parts, parts_of(message));
  std::string out;
  std::string_view only_version;
  std::vector<Part> of_all;
  bool versions = false;
  for (const Part& p : parts) versions |= p.number == 7;
  for (const Part& p : parts) {
    if (p.sized && (p.number == 5 || p.number == 6 || p.number == 8 || p.number == 11))
      of_all.push_back(p);
  }
  for (const Part& p : parts) {
    switch (p.number) {
      case 2:
        only_version = p.inside;
        break;
      case 5:
      case 6:
      case 8:
      case 11:
        break;
      case 7:
        append_bytes_field(out, 7, version(p.inside, of_all));
        break;
      case 9: {
        TRY_ASSIGN(made, conversion(p.inside));
        append_bytes_field(out, 9, made);
        break;
      }
      default:
        out += p.whole;
    }
  }
  if (!versions && !only_version.empty()) {
    std::string own;
    append_bytes_field(own, 1, only_version);
    own.append("\x10\x01\x18\x01");  // served, storage
    append_bytes_field(out, 7, version(own, of_all));
  }
  return out;
}

}  // namespace

bool is_older_version(std::string_view api_version, std::string_view kind) {
  return api_version == kOld && kind == kDefinition;
}

Result<std::string> in_served_version(std::string_view stored) {
  TRY_ASSIGN(envelope, open_protobuf(stored));
  TRY_ASSIGN(parts, parts_of(envelope.raw));
  std::string raw;
  for (const Part& p : parts) {
    if (p.number == 2 && p.sized) {
      TRY_ASSIGN(made, spec(p.inside));
      append_bytes_field(raw, 2, made);
    } else {
      raw += p.whole;
    }
  }
  return wrap_protobuf(kNow, kDefinition, raw);
}

}  // namespace keles
