#include "kubectl/content_hash.h"

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "net/pki.h"

namespace keles::kubectl {

std::string content_hash(const Value& object) {
  Document d;
  d.root = Value::map();
  const bool secret = object["kind"].as_string() == "Secret";
  d.root.set(d.arena, "kind", object["kind"]);
  d.root.set(d.arena, "name", object["metadata"]["name"]);
  const Value& data = object["data"];
  d.root.set(d.arena, "data", data.is_null() ? Value::map() : data);
  if (secret) {
    const Value& type = object["type"];
    d.root.set(d.arena, "type", type.is_null() ? Value::string("") : type);
  }
  if (const Value* immutable = object.find("immutable")) {
    d.root.set(d.arena, "immutable", *immutable);
  }
  if (!object["binaryData"].empty()) d.root.set(d.arena, "binaryData", object["binaryData"]);
  std::string text;
  write_json(text, d.root, true);
  std::string out = net::hex(net::sha256(text)).substr(0, 10);
  for (char& c : out) {
    c = c == '0' ? 'g' : c == '1' ? 'h' : c == '3' ? 'k' : c == 'a' ? 'm' : c == 'e' ? 't' : c;
  }
  return out;
}

}  // namespace keles::kubectl
