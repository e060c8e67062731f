#include "machinery/convert.h"

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"

namespace keles {

Result<OutputForm> output_form(std::string_view name) {
  if (name == "json") return OutputForm::kJson;
  if (name == "yaml") return OutputForm::kYaml;
  if (name == "protobuf") return OutputForm::kProtobuf;
  return Status::bad_request("unknown output form \"" + std::string(name) +
                             "\": use json, yaml or protobuf");
}

namespace {

const KindDesc* watch_event() { return find_kind("", "v1", "WatchEvent"); }

Result<AnyObject> read_tree(Document doc, const std::vector<std::string>& duplicates) {
  AnyObject out;
  std::string kind(doc.root["kind"].as_string());
  std::string version(doc.root["apiVersion"].as_string());
  if (kind.empty() && version.empty() && doc.root.find("type") && doc.root.find("object")) {
    out.kind = watch_event();
  } else {
    if (kind.empty()) return Status::bad_request("Object 'Kind' is missing");
    if (version.empty()) return Status::bad_request("Object 'apiVersion' is missing");
    out.kind = find_kind(version, kind);
  }
  if (out.kind == nullptr) {
    return Status::bad_request("no kind \"" + kind + "\" is registered for version \"" + version +
                               '"');
  }
  TRY(decode_object(*out.kind, doc, FieldValidation::kStrict, duplicates));
  out.doc = std::move(doc);
  return out;
}

}  // namespace

Result<AnyObject> read_any_object(std::string_view input) {
  if (input.starts_with(kProtobufMagic)) {
    TRY_ASSIGN(envelope, open_protobuf(input));
    AnyObject out;
    out.kind = envelope.kind.empty() && envelope.api_version.empty()
                   ? watch_event()
                   : find_kind(envelope.api_version, envelope.kind);
    if (out.kind == nullptr) {
      return Status::bad_request("no kind \"" + std::string(envelope.kind) +
                                 "\" is registered for version \"" +
                                 std::string(envelope.api_version) + '"');
    }
    TRY_ASSIGN(doc, decode_object_protobuf(*out.kind, input));
    out.doc = std::move(doc);
    return out;
  }
  const size_t first = input.find_first_not_of(" \t\r\n");
  std::vector<std::string> duplicates;
  if (first != std::string_view::npos && input[first] == '{') {
    auto doc = parse_json(input, {&duplicates});
    if (doc.ok()) return read_tree(std::move(*doc), duplicates);
    // A YAML flow mapping begins like this too.
    auto yaml = parse_yaml(input);
    if (!yaml.ok()) return doc.status();
    return read_tree(std::move(*yaml), duplicates);
  }
  TRY_ASSIGN(doc, parse_yaml(input));
  return read_tree(std::move(doc), duplicates);
}

Result<std::string> convert(std::string_view input, OutputForm form) {
  TRY_ASSIGN(object, read_any_object(input));
  if (form == OutputForm::kProtobuf) return encode_object(*object.kind, object.doc.root);
  std::string json;
  write_json(json, *object.kind, object.doc.root);
  if (form == OutputForm::kJson) return indent_json(json);
  TRY_ASSIGN(doc, parse_json(json));
  return write_yaml(doc.root);
}

}  // namespace keles
