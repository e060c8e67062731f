// Every type of the API in JSON, protobuf and YAML against golden/, which lies in the tree: texts
// that were written by these codecs when they equalled upstream's byte for byte.
#include "machinery/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/testing.h"
#include "kinds.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/convert.h"
#include "machinery/filled_object.h"
#include "machinery/schema.h"

namespace keles {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGolden = "src/machinery/golden";
constexpr const char* kEmptyValues = "src/machinery/empty_values.txt";
constexpr const char* kRemake =
    "if the description changed and this is what was meant, make golden/ anew (README.md)";

fs::path upstream() { return shared_dir() / "api" / "fixtures"; }

std::string must_read(const fs::path& p) {
  auto r = read_file(p.string());
  EXPECT_TRUE(r.ok()) << p;
  return r.ok() ? *r : "";
}

Golden read_golden() {
  Golden golden;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    Status s = golden.read(must_read(entry.path()));
    EXPECT_TRUE(s.ok()) << entry.path() << ": " << s.to_string();
  }
  return golden;
}

// The object whose spec, status and so on are `inner`, as `kubectl -o json` prints it.
std::string object_json(const KindDesc& kind, const std::string& inner) {
  if (kind.bare) return indent_json(inner);
  std::string head = R"({"kind":")" + std::string(kind.kind) + R"(","apiVersion":")" +
                     std::string(kind.api_version()) + '"';
  return indent_json(head + (inner == "{}" ? "}" : "," + inner.substr(1)));
}

// The envelope, byte by byte: runtime.Unknown{typeMeta, raw, contentEncoding, contentType}.
std::string object_protobuf(const KindDesc& kind, const std::string& raw) {
  auto field = [](char tag, const std::string& bytes) {
    std::string out(1, tag);
    for (size_t n = bytes.size();; n >>= 7) {
      if (n < 0x80) return out + static_cast<char>(n) + bytes;
      out += static_cast<char>(0x80 | (n & 0x7f));
    }
  };
  std::string version = kind.bare ? "" : std::string(kind.api_version());
  std::string name = kind.bare ? "" : std::string(kind.kind);
  return std::string("k8s\0", 4) + field('\x0a', field('\x0a', version) + field('\x12', name)) +
         field('\x12', raw) + field('\x1a', "") + field('\x22', "");
}

// Configuration files' types have no protobuf form.
bool on_the_wire(const TypeDesc& type) { return type.fields.empty() || !type.wire.empty(); }

TEST(Golden, EveryKindFromEachFormToEachOther) {
  Golden golden = read_golden();
  int seen = 0;
  for (const KindDesc* kind : tables::kinds_by_name) {
    SCOPED_TRACE(std::string(kind->api_version()) + " " + std::string(kind->kind));
    auto texts = golden.of(*kind->type);
    ASSERT_TRUE(texts) << kRemake;
    if (kind->bare && kind->kind != "WatchEvent") continue;  // nothing in it says what it is
    ++seen;
    const std::string json = object_json(*kind, texts->json);
    if (!on_the_wire(*kind->type)) {
      auto through = convert(json, OutputForm::kYaml);
      ASSERT_TRUE(through.ok()) << through.status().to_string();
      auto same = convert(*through, OutputForm::kJson);
      ASSERT_TRUE(same.ok()) << same.status().to_string();
      EXPECT_EQ(*same, json);
      continue;
    }
    const std::string protobuf = object_protobuf(*kind, texts->protobuf);
    auto to_protobuf = convert(json, OutputForm::kProtobuf);
    ASSERT_TRUE(to_protobuf.ok()) << to_protobuf.status().to_string();
    EXPECT_EQ(escaped(*to_protobuf), escaped(protobuf));
    auto to_json = convert(protobuf, OutputForm::kJson);
    ASSERT_TRUE(to_json.ok()) << to_json.status().to_string();
    EXPECT_EQ(*to_json, json);
    auto yaml = convert(protobuf, OutputForm::kYaml);
    ASSERT_TRUE(yaml.ok()) << yaml.status().to_string();
    EXPECT_NE(*yaml, json);
    if (kind->bare) continue;
    auto back = convert(*yaml, OutputForm::kProtobuf);
    ASSERT_TRUE(back.ok()) << back.status().to_string() << "\n" << *yaml;
    EXPECT_EQ(escaped(*back), escaped(protobuf)) << *yaml;
  }
  EXPECT_GT(seen, 100);
}

TEST(Golden, EveryTypeOnTheWireAndInText) {
  Golden golden = read_golden();
  for (const TypeDesc* type : tables::types_by_name) {
    SCOPED_TRACE(type->name);
    auto texts = golden.of(*type);
    ASSERT_TRUE(texts) << kRemake;
    if (!on_the_wire(*type)) continue;
    auto tree = decode_protobuf(*type, texts->protobuf);
    ASSERT_TRUE(tree.ok()) << tree.status().to_string();
    std::string json;
    write_json(json, *type, tree->root);
    EXPECT_EQ(json, texts->json);
    EXPECT_EQ(escaped(encode_protobuf(*type, tree->root)), escaped(texts->protobuf));
    auto parsed = parse_json(texts->json);
    ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
    EXPECT_EQ(escaped(encode_protobuf(*type, parsed->root)), escaped(texts->protobuf));
  }
}

// A field that is new in the description is filled, and so has its bytes in golden/.
TEST(Golden, EveryFieldOfTheDescriptionIsThere) {
  Golden golden = read_golden();
  for (const TypeDesc* type : tables::types_by_name) {
    SCOPED_TRACE(type->name);
    auto texts = golden.of(*type);
    ASSERT_TRUE(texts) << kRemake;
    Document d;
    d.root = filled(d.arena, *type);
    std::string json;
    write_json(json, *type, d.root);
    EXPECT_EQ(json, texts->json) << kRemake;
    EXPECT_EQ(escaped(encode_protobuf(*type, d.root)), escaped(texts->protobuf)) << kRemake;
  }
  EXPECT_EQ(golden.size(), tables::types_by_name.size()) << kRemake;
}

// What is written where nothing is set (`status: {}`, `conditions: null`) and what is left out, as
// Go's tags say.
std::string empty_values() {
  std::string out;
  for (const TypeDesc* type : tables::types_by_name) {
    out.append(type->name).append(" ");
    write_json(out, *type, Value::map());
    out += '\n';
  }
  return out;
}

TEST(Golden, EmptyValuesSayWhatUpstreamsSay) {
  EXPECT_EQ(empty_values(), must_read(kEmptyValues)) << kRemake;
}

// "apps.v1.Deployment.json" -> its kind, or null.
const KindDesc* kind_of_fixture(const fs::path& path) {
  std::string name = path.stem().string();
  size_t last = name.rfind('.');
  size_t before = name.rfind('.', last - 1);
  std::string group = name.substr(0, before);
  return find_kind(group == "core" ? "" : group, name.substr(before + 1, last - before - 1),
                   name.substr(last + 1));
}

// How many of upstream's fixtures `golden` equals, in both forms; each one that it does not fails.
int equal_to_upstream(const Golden& golden) {
  int equal = 0;
  for (const auto& entry : fs::directory_iterator(upstream())) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const KindDesc* kind = kind_of_fixture(entry.path());
    auto texts = kind ? golden.of(*kind->type) : std::nullopt;
    EXPECT_TRUE(texts);
    if (!texts) continue;
    bool same = object_json(*kind, texts->json) == must_read(entry.path()) &&
                object_protobuf(*kind, texts->protobuf) ==
                    must_read(fs::path(entry.path()).replace_extension(".pb"));
    EXPECT_TRUE(same);
    if (same) ++equal;
  }
  return equal;
}

TEST(Golden, EqualsUpstreams) {
  if (!fs::exists(upstream())) GTEST_SKIP() << "no fixtures of upstream at " << upstream();
  EXPECT_GT(equal_to_upstream(read_golden()), 60);
}

TEST(Golden, TextsAreReadOrRefused) {
  Golden golden;
  EXPECT_FALSE(golden.read("a.v1.Short\n{}\n").ok());
  EXPECT_FALSE(golden.read("a.v1.Hex\n{}\n\\x0\n").ok());
  EXPECT_FALSE(golden.read("a.v1.Open\n{<a.v1.A}\n\n").ok());
  ASSERT_TRUE(golden
                  .read("a.v1.A\n{\"b\":<a.v1.B>,\"c\":\"\\\\\"}\n\\x0a<a.v1.B>\\<\n"
                        "a.v1.B\n{}\n\\x00\n"
                        "a.v1.Inside\n{<a.v1.Inside>}\n\n"
                        "a.v1.Lost\n{}\n<a.v1.Gone>\n")
                  .ok());
  auto a = golden.of("a.v1.A");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->json, R"({"b":{},"c":"\"})");
  EXPECT_EQ(a->protobuf, std::string("\x0a\x01\x00<", 4));
  EXPECT_FALSE(golden.of("a.v1.Inside"));
  EXPECT_FALSE(golden.of("a.v1.Lost"));
  EXPECT_FALSE(golden.of("a.v1.Gone"));
  EXPECT_EQ(escaped(std::string("a<b\\\0\xff", 6)), "a\\<b\\\\\\x00\\xff");
}

// Makes golden/ anew, when the codecs equal upstream's. See README.md.
TEST(Golden, DISABLED_Write) {
  ASSERT_TRUE(fs::exists(upstream())) << "only what has equalled upstream's is written: set "
                                         "KELES_SHARED to where its fixtures are";
  std::map<std::string, std::string> files = Golden::write(tables::types_by_name);
  Golden made;
  for (const auto& [name, text] : files) {
    Status s = made.read(text);
    ASSERT_TRUE(s.ok()) << name << ": " << s.to_string();
  }
  ASSERT_GT(equal_to_upstream(made), 60);
  ASSERT_FALSE(HasFailure());
  fs::remove_all(kGolden);
  fs::create_directories(kGolden);
  for (const auto& [name, text] : files) {
    Status s = write_file((fs::path(kGolden) / name).string(), text);
    ASSERT_TRUE(s.ok()) << s.to_string();
  }
  ASSERT_TRUE(write_file(kEmptyValues, empty_values()).ok());
}

}  // namespace
}  // namespace keles
