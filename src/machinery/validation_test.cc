#include "machinery/validation.h"

#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"

namespace keles {
namespace {

std::vector<std::string> lines(const FieldErrors& e) {
  std::vector<std::string> out;
  for (const StatusCause& c : e) out.push_back(c.field + ": " + c.message);
  return out;
}

std::vector<std::string> meta(const char* yaml, bool namespaced = true) {
  auto d = parse_yaml(yaml);
  FieldErrors e;
  validate_object_meta(e, d->root, namespaced, name_is_dns_subdomain);
  return lines(e);
}

using Lines = std::vector<std::string>;

TEST(Validation, Metadata) {
  EXPECT_EQ(meta("{name: a, namespace: b}"), Lines{});
  EXPECT_EQ(meta("{namespace: b}"),
            Lines{"metadata.name: Required value: name or generateName is required"});
  EXPECT_EQ(
      meta("{name: X, namespace: b}"),
      Lines{"metadata.name: Invalid value: \"X\": a lowercase RFC 1123 subdomain must "
            "consist of lower case alphanumeric characters, '-' or '.', and must start and "
            "end with an alphanumeric character (e.g. 'example.com', regex used for "
            "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"});
  EXPECT_EQ(meta("{name: a}"), Lines{"metadata.namespace: Required value"});
  EXPECT_EQ(meta("{name: a, namespace: b}", false),
            Lines{"metadata.namespace: Forbidden: not allowed on this type"});
  EXPECT_EQ(meta("{name: a-x1, generateName: a-, namespace: b}"), Lines{});
  EXPECT_EQ(meta("{name: a, namespace: b, labels: {k: 'bad value'}}"),
            Lines{"metadata.labels: Invalid value: \"bad value\": a valid label must be an empty "
                  "string or consist of alphanumeric characters, '-', '_' or '.', and must start "
                  "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
                  "'12345', regex used for validation is "
                  "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"});
  EXPECT_EQ(meta("{name: a, namespace: b, finalizers: [orphan, foregroundDeletion]}").size(), 1u);
  EXPECT_EQ(meta("{name: a, namespace: b, ownerReferences: [{apiVersion: v1, kind: Pod, name: "
                 "x}]}"),
            Lines{"metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"});
}

TEST(Validation, MetadataUpdate) {
  auto before = parse_yaml("{name: a, namespace: b, uid: u, generation: 2}");
  auto now = parse_yaml("{name: a, namespace: b, uid: v, generation: 1, resourceVersion: '1'}");
  FieldErrors e;
  validate_object_meta_update(e, now->root, before->root, false);
  EXPECT_EQ(lines(e), (Lines{"metadata.generation: Invalid value: 1: must not be decremented",
                             "metadata.uid: Invalid value: \"v\": field is immutable"}));
}

TEST(Validation, PathsAndTexts) {
  FieldPath p = FieldPath("spec")["containers"][0]["ports"].key("a/b");
  EXPECT_EQ(p.text(), "spec.containers[0].ports[a/b]");
  FieldErrors e;
  field::not_supported(e, FieldPath("a"), "x", {"p", "q"});
  field::duplicate(e, FieldPath("a"), "x");
  field::too_long(e, FieldPath("a"), 10);
  EXPECT_EQ(lines(e),
            (Lines{"a: Unsupported value: \"x\": supported values: \"p\", \"q\"",
                   "a: Duplicate value: \"x\"", "a: Too long: may not be more than 10 bytes"}));
  EXPECT_EQ(e[0].type, "FieldValueNotSupported");
}

TEST(Validation, Names) {
  EXPECT_TRUE(check_dns1123_label("a-1").empty());
  EXPECT_EQ(check_dns1123_label("a.b"), Lines{"must not contain dots"});
  EXPECT_FALSE(check_dns1035_label("1a").empty());
  EXPECT_TRUE(check_dns1035_label("a1").empty());
  EXPECT_TRUE(check_qualified_name("example.com/My_Name").empty());
  EXPECT_FALSE(check_qualified_name("a/b/c").empty());
  EXPECT_TRUE(name_is_dns_subdomain("abc-", true).empty());
  EXPECT_FALSE(name_is_dns_subdomain("abc-", false).empty());
  EXPECT_TRUE(check_ip("10.0.0.1").empty());
  EXPECT_TRUE(check_ip("2001:db8::1").empty());
  EXPECT_FALSE(check_ip("010.0.0.256").empty());
  EXPECT_TRUE(check_cidr("10.0.0.0/8").empty());
  EXPECT_FALSE(check_cidr("10.0.0.0/33").empty());
  EXPECT_EQ(check_port_number(0), Lines{"must be between 1 and 65535, inclusive"});
  EXPECT_TRUE(check_port_name("http-1").empty());
  EXPECT_FALSE(check_port_name("-http--x").empty());
  EXPECT_TRUE(check_config_map_key(".hidden").empty());
  EXPECT_EQ(check_config_map_key(".."), Lines{"must not be '..'"});
}

}  // namespace
}  // namespace keles
