// Codecs against upstream's fixtures (the same object in JSON and protobuf), and their edges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "api/cri_v1.h"
#include "api/etcd_v3.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/random.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/convert.h"
#include "machinery/decode.h"
#include "machinery/object.h"
#include "machinery/status_codec.h"

namespace keles {
namespace {

namespace fs = std::filesystem;
namespace core = api::core_v1;
using testing::HasSubstr;

std::string must_read(const fs::path& p) {
  auto r = read_file(p.string());
  EXPECT_TRUE(r.ok()) << p;
  return r.ok() ? *r : "";
}

TEST(Fixtures, EveryTwinByteForByte) {
  const fs::path dir = shared_dir() / "api" / "fixtures";
  if (!fs::exists(dir)) GTEST_SKIP() << "the shared fixtures are not at " << dir;
  int seen = 0;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() != ".json") continue;
    ++seen;
    SCOPED_TRACE(entry.path().filename().string());
    std::string json = must_read(entry.path());
    std::string pb = must_read(fs::path(entry.path()).replace_extension(".pb"));
    auto to_pb = convert(json, OutputForm::kProtobuf);
    ASSERT_TRUE(to_pb.ok()) << to_pb.status().to_string();
    EXPECT_EQ(*to_pb == pb, true) << "JSON to protobuf differs";
    auto to_json = convert(pb, OutputForm::kJson);
    ASSERT_TRUE(to_json.ok()) << to_json.status().to_string();
    EXPECT_EQ(*to_json, json);
    // And by way of YAML.
    auto yaml = convert(pb, OutputForm::kYaml);
    ASSERT_TRUE(yaml.ok());
    auto back = convert(*yaml, OutputForm::kProtobuf);
    ASSERT_TRUE(back.ok()) << back.status().to_string();
    if (entry.path().filename() != "core.v1.WatchEvent.json") {
      EXPECT_EQ(*back == pb, true) << "YAML to protobuf differs";
    }
  }
  EXPECT_GT(seen, 60);
}

TEST(Json, WritesStringsAsGo) {
  std::string out;
  write_json_string(out, "a\"\\\n\x01<&>\xe2\x80\xa8\xc3\xa9\xff");
  EXPECT_EQ(out, R"("a\"\\\n\u0001\u003c\u0026\u003e\u2028é\ufffd")");
}

// Texts are looked at sixteen bytes at a time: what needs an escape is found at every place.
TEST(Json, EscapesAreFoundWhereverTheyStand) {
  struct Case {
    std::string text, html, plain;
  };
  const Case kCases[] = {{"\"", "\\\"", "\\\""},
                         {"\\", "\\\\", "\\\\"},
                         {"\n", "\\n", "\\n"},
                         {"<", "\\u003c", "<"},
                         {">", "\\u003e", ">"},
                         {"&", "\\u0026", "&"},
                         {"\x1f", "\\u001f", "\\u001f"},
                         {"\x7f", "\x7f", "\x7f"},
                         {"\xc3\xa9", "\xc3\xa9", "\xc3\xa9"},
                         {"\xff", "\\ufffd", "\\ufffd"},
                         {"\xe2\x80\xa9", "\\u2029", "\\u2029"}};
  for (const Case& c : kCases) {
    for (size_t before = 0; before < 40; ++before) {
      const std::string head(before, 'a'), tail(39 - before, 'z');
      std::string html, plain;
      write_json_string(html, head + c.text + tail, true);
      write_json_string(plain, head + c.text + tail, false);
      EXPECT_EQ(html, '"' + head + c.html + tail + '"');
      EXPECT_EQ(plain, '"' + head + c.plain + tail + '"');
    }
  }
}

TEST(Json, WritesNumbersAsGo) {
  auto text = [](double d) {
    std::string s;
    write_json_double(s, d);
    return s;
  };
  EXPECT_EQ(text(1.5), "1.5");
  EXPECT_EQ(text(1), "1");
  EXPECT_EQ(text(1e21), "1e+21");
  EXPECT_EQ(text(1e-7), "1e-7");
  EXPECT_EQ(text(0.000001), "0.000001");
  EXPECT_EQ(text(5e19), "50000000000000000000");
  EXPECT_EQ(text(-12345678901234567890.0), "-12345678901234567000");
  EXPECT_EQ(text(1234567890123456.5), "1234567890123456.5");
  EXPECT_EQ(text(9007199254740992), "9007199254740992");
}

// An integer is one of 64 bits or a float, and comes back as what it was read as.
TEST(Json, NumbersAreReadAsGoReadsThem) {
  struct {
    const char *text, *back;
    bool integer;
  } cases[] = {
      {"9223372036854775807", "9223372036854775807", true},
      {"-9223372036854775808", "-9223372036854775808", true},
      {"-0", "0", true},
      {"9223372036854775808", "9223372036854776000", false},
      {"-9223372036854775809", "-9223372036854776000", false},
      {"12345678901234567890", "12345678901234567000", false},
      {"18446744073709551616", "18446744073709552000", false},
      {"5e19", "50000000000000000000", false},
      {"50000000000000000000", "50000000000000000000", false},
      {"1.0", "1", false},
      {"1E3", "1000", false},
      {"1e21", "1e+21", false},
      {"123456789012345678901234567890", "1.2345678901234568e+29", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    auto one = parse_json(c.text);
    ASSERT_TRUE(one.ok()) << one.status().message();
    EXPECT_EQ(one->root.is_int(), c.integer);
    EXPECT_EQ(to_json(one->root), c.back);
    auto again = parse_json(to_json(one->root));
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->root.equals(one->root));
    // Among others, and not inside a text.
    auto many = parse_json(std::string(R"({"a":[")") + c.text + R"(",)" + c.text + R"(],"b\\":1})");
    ASSERT_TRUE(many.ok()) << many.status().message();
    EXPECT_EQ(many->root["a"].at(0).as_string(), c.text);
    EXPECT_TRUE(many->root["a"].at(1).equals(one->root));
  }
  EXPECT_EQ(parse_json("[1e400]").status().message(),
            "json: cannot unmarshal number 1e400 into Go value of type float64");
  // Beyond int64 there is no whole number: the nearer end.
  EXPECT_EQ(Value(5e19).as_int(), INT64_MAX);
  EXPECT_EQ(Value(-5e19).as_int(), INT64_MIN);
  EXPECT_EQ(Value(-2.5).as_int(), -2);
}

TEST(Json, SyntaxErrorsAreGos) {
  auto error = [](std::string_view s) { return parse_json(s).status().message(); };
  EXPECT_EQ(error(""), "unexpected end of JSON input");
  EXPECT_EQ(error({}), "unexpected end of JSON input");  // null data, as sanitizers see
  EXPECT_EQ(error("{"), "unexpected end of JSON input");
  EXPECT_EQ(error("{a}"), "invalid character 'a' looking for beginning of object key string");
  EXPECT_EQ(error("{\"a\" 1}"), "invalid character '1' after object key");
  EXPECT_EQ(error("{\"a\":}"), "invalid character '}' looking for beginning of value");
  EXPECT_EQ(error("[1 2]"), "invalid character '2' after array element");
  EXPECT_EQ(error("1 2"), "invalid character '2' after top-level value");
  EXPECT_EQ(error("tru"), "unexpected end of JSON input");
}

TEST(Json, DepthIsBounded) {
  std::string deep(5000, '[');
  EXPECT_FALSE(parse_json(deep).ok());
  deep = std::string(400, '[') + std::string(400, ']');
  EXPECT_TRUE(parse_json(deep).ok());
}

TEST(Json, FindsDuplicates) {
  std::vector<std::string> d;
  auto doc = parse_json(R"({"a":{"b":[{"c":1,"c":2}]},"a":3})", {&d});
  ASSERT_TRUE(doc.ok());
  EXPECT_THAT(d, testing::ElementsAre("a.b[0].c", "a"));
  EXPECT_EQ(doc->root["a"].as_int(), 3);
}

TEST(Decode, WrongTypeNamesTheField) {
  const KindDesc& pod = kind_of<core::Pod>();
  auto error = [&](std::string_view s) { return decode_body(pod, s).status().message(); };
  EXPECT_EQ(
      error(R"({"spec":{"containers":"x"}})"),
      "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go "
      "struct field PodSpec.spec.containers of type []v1.Container");
  EXPECT_THAT(error(R"({"spec":{"containers":[{"name":1}]}})"),
              HasSubstr("cannot unmarshal number into Go struct field "
                        "Container.spec.containers.name of type string"));
  EXPECT_THAT(error(R"({"spec":{"priority":1.5}})"),
              HasSubstr("cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of "
                        "type int32"));
  EXPECT_THAT(error("{"), HasSubstr("unexpected end of JSON input"));
}

TEST(Decode, UnknownAndDuplicateFields) {
  const KindDesc& pod = kind_of<core::Pod>();
  std::string body = R"({"spec":{"foo":1,"containers":[{"name":"a","bar":2,"name":"b"}]}})";
  std::vector<std::string> warnings;
  auto warn = decode_body(pod, body, FieldValidation::kWarn, &warnings);
  ASSERT_TRUE(warn.ok());
  // In the order of the text, as upstream's decoder meets them.
  EXPECT_THAT(warnings, testing::ElementsAre(R"(unknown field "spec.foo")",
                                             R"(unknown field "spec.containers[0].bar")",
                                             R"(duplicate field "spec.containers[0].name")"));
  EXPECT_EQ(warn->root["spec"].find("foo"), nullptr);
  auto strict = decode_body(pod, R"({"spec":{"foo":1}})", FieldValidation::kStrict);
  EXPECT_EQ(
      strict.status().message(),
      "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field "
      "\"spec.foo\"");
  struct Row {
    const char *body, *problems;
  };
  const Row kRows[] = {
      {R"({"spec":{"hostname":"a","hostname":"b","foo":1}})",
       R"(duplicate field "spec.hostname", unknown field "spec.foo")"},
      {R"({"spec":{"foo":1,"hostname":"a","hostname":"b"}})",
       R"(unknown field "spec.foo", duplicate field "spec.hostname")"},
      // Said once; and nothing is said of what is inside an unknown field.
      {R"({"spec":{"foo":{"a":1,"a":2},"foo":2,"hostname":"a","hostname":"b","hostname":"c"}})",
       R"(unknown field "spec.foo", duplicate field "spec.hostname")"},
      {R"({"a{":{"x":["]\"}"]},"spec":{"containers":[{},{"name":"x","name":"y","z":"{,"}],"y":0}})",
       R"(unknown field "a{", duplicate field "spec.containers[1].name", )"
       R"(unknown field "spec.containers[1].z", unknown field "spec.y")"},
  };
  for (const Row& row : kRows) {
    auto refused = decode_body(pod, row.body, FieldValidation::kStrict);
    EXPECT_EQ(refused.status().message(),
              std::string("Pod in version \"v1\" cannot be handled as a Pod: strict decoding "
                          "error: ") +
                  row.problems)
        << row.body;
  }
}

TEST(Decode, CanonicalForms) {
  auto doc = decode_body(kind_of<core::Pod>(),
                         R"({"metadata":{"creationTimestamp":"2024-01-01T02:00:00+02:00"},
      "spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1000m","memory":1024}}}]}})");
  ASSERT_TRUE(doc.ok());
  core::Pod pod(doc->root);
  EXPECT_EQ(pod.metadata().creation_timestamp(), "2024-01-01T00:00:00Z");
  auto limits = pod.spec().containers()[0].resources().limits();
  EXPECT_EQ(limits.get("cpu"), "1");
  EXPECT_EQ(limits.get("memory"), "1024");
}

TEST(Write, EmptyFieldsAsGo) {
  Draft<core::PodEdit> d;
  d->edit_metadata().set_name("x");
  std::string out;
  write_json(out, kind_of<core::Pod>(), d.value());
  EXPECT_EQ(out, R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},)"
                 R"("spec":{"containers":null},"status":{}})");
}

TEST(Defaults, Pod) {
  auto doc = decode_body(kind_of<core::Pod>(), R"({"spec":{"containers":[{"name":"a","image":"x:1",
      "livenessProbe":{"httpGet":{"port":80}},"ports":[{"containerPort":1}],
      "resources":{"limits":{"cpu":"1"}}},{"name":"b","image":"y"}],
      "volumes":[{"name":"v"},{"name":"s","secret":{"secretName":"z"}}]}})");
  ASSERT_TRUE(doc.ok());
  apply_defaults(kind_of<core::Pod>(), *doc);
  auto spec = core::Pod(doc->root).spec();
  EXPECT_EQ(spec.restart_policy(), "Always");
  EXPECT_EQ(spec.termination_grace_period_seconds(), 30);
  EXPECT_TRUE(spec.has_security_context());
  EXPECT_TRUE(spec.enable_service_links());
  auto c = spec.containers()[0];
  EXPECT_EQ(c.image_pull_policy(), "IfNotPresent");
  EXPECT_EQ(spec.containers()[1].image_pull_policy(), "Always");
  EXPECT_EQ(c.ports()[0].protocol(), "TCP");
  EXPECT_EQ(c.liveness_probe().period_seconds(), 10);
  EXPECT_EQ(c.liveness_probe().http_get().path(), "/");
  EXPECT_EQ(c.resources().requests().get("cpu"), "1");
  EXPECT_TRUE(spec.volumes()[0].has_empty_dir());
  EXPECT_EQ(spec.volumes()[1].secret().default_mode(), 420);
  // Again: nothing changes.
  Document before = doc->clone();
  apply_defaults(kind_of<core::Pod>(), *doc);
  EXPECT_TRUE(before.root.equals(doc->root));
}

TEST(Defaults, DeploymentAndService) {
  namespace apps = api::apps_v1;
  auto doc = decode_body(kind_of<apps::Deployment>(), R"({"spec":{"template":{"spec":{}}}})");
  ASSERT_TRUE(doc.ok());
  apply_defaults(kind_of<apps::Deployment>(), *doc);
  auto spec = apps::Deployment(doc->root).spec();
  EXPECT_EQ(spec.replicas(), 1);
  EXPECT_EQ(spec.strategy().rolling_update().max_surge().as_string(), "25%");
  EXPECT_EQ(spec.template_().spec().restart_policy(), "Always");
  auto svc = decode_body(kind_of<core::Service>(), R"({"spec":{"ports":[{"port":80}]}})");
  ASSERT_TRUE(svc.ok());
  apply_defaults(kind_of<core::Service>(), *svc);
  core::Service s(svc->root);
  EXPECT_EQ(s.spec().type(), "ClusterIP");
  EXPECT_EQ(s.spec().ports()[0].target_port().as_int(), 80);
  EXPECT_EQ(s.spec().internal_traffic_policy(), "Cluster");
}

TEST(Views, EditsKeepTheirPlace) {
  Draft<core::PodEdit> d;
  auto spec = d->edit_spec();
  auto meta = d->edit_metadata();
  for (int i = 0; i < 20; ++i) meta.edit_labels().set("k" + std::to_string(i), "v");
  d->edit_status().set_phase("Running");
  spec.set_node_name("n");
  auto c = spec.edit_containers().add();
  c.set_name("a");
  core::Pod pod(d.value());
  EXPECT_EQ(pod.spec().node_name(), "n");
  EXPECT_EQ(pod.spec().containers()[0].name(), "a");
  EXPECT_EQ(pod.metadata().labels().size(), 20u);
  spec.clear_node_name();
  EXPECT_FALSE(pod.spec().has_node_name());
}

TEST(Protobuf, Proto3) {
  namespace cri = api::cri_v1;
  Draft<cri::PodSandboxConfigEdit> d;
  d->set_hostname("h");
  auto port = d->edit_port_mappings().add();
  port.set_protocol(cri::kProtocol_UDP);
  port.set_container_port(80);
  d->edit_linux().edit_security_context().edit_namespace_options().set_pid(
      cri::kNamespaceMode_CONTAINER);
  std::string bytes = encode_protobuf(cri::PodSandboxConfig::descriptor(), d.value());
  auto back = decode_protobuf(cri::PodSandboxConfig::descriptor(), bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->root.equals(d.value())) << to_json(back->root);
  // An enum's zero is not on the wire.
  Draft<cri::PortMappingEdit> p;
  p->set_protocol(cri::kProtocol_TCP);
  EXPECT_EQ(encode_protobuf(cri::PortMapping::descriptor(), p.value()), "");

  namespace etcd = api::etcd_v3;
  Draft<etcd::CompareEdit> cmp;
  cmp->set_result(etcd::kCompareResult_EQUAL);
  cmp->set_target(etcd::kCompareTarget_MOD);
  cmp->set_key(base64_encode("k"));
  cmp->set_mod_revision(0);
  EXPECT_EQ(encode_protobuf(etcd::Compare::descriptor(), cmp.value()),
            std::string("\x10\x02\x1a\x01k\x30\x00", 7));
}

TEST(Protobuf, DamagedBytesAreErrors) {
  const KindDesc& pod = kind_of<core::Pod>();
  Draft<core::PodEdit> d;
  d->edit_metadata().set_name("x");
  std::string good = encode_object(pod, d.value());
  for (size_t n = 0; n < good.size(); ++n) {
    (void)decode_object_protobuf(pod, good.substr(0, n));
    std::string bad = good;
    bad[n] = static_cast<char>(bad[n] ^ 0xFF);
    (void)decode_object_protobuf(pod, bad);
  }
  EXPECT_FALSE(decode_object_protobuf(pod, good.substr(0, good.size() / 2)).ok());
}

TEST(Objects, FormsFollowFromTheStored) {
  const KindDesc& pod = kind_of<core::Pod>();
  Draft<core::PodEdit> d;
  auto meta = d->edit_metadata();
  meta.set_name("x");
  meta.set_namespace_("ns");
  meta.set_uid("u");
  auto first = Object::from_document(pod, d.take());
  Bytes stored = first->stored();
  auto o = Object::from_stored(pod, stored, 42);
  ASSERT_TRUE(o.ok());
  EXPECT_EQ((*o)->key(), "ns/x");
  EXPECT_EQ((*o)->uid(), "u");
  EXPECT_THAT(*(*o)->json(), HasSubstr(R"("resourceVersion":"42")"));
  auto again = decode_object_protobuf(pod, *(*o)->protobuf());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(core::Pod(again->root).metadata().resource_version(), "42");
  EXPECT_EQ(*Object::from_document(pod, std::move(*again))->stored(), *stored);
  EXPECT_EQ(read<core::Pod>(*o)->metadata().name(), "x");
}

// A value of the type with every field set, as deep as the description goes or `depth` says.
Value sample(Arena& arena, const TypeDesc& type, int depth);

Value sample(Arena& arena, const FieldDesc& f, int depth) {
  switch (f.type) {
    case FieldType::kBool:
      return Value(true);
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
    case FieldType::kIntOrString:
      return Value(7);
    case FieldType::kDouble:
    case FieldType::kFloat:
      return Value(1.5);
    case FieldType::kTime:
      return Value::string("2024-01-02T03:04:05Z");
    case FieldType::kMicroTime:
      return Value::string("2024-01-02T03:04:05.000006Z");
    case FieldType::kDuration:
      return Value::string("3s");
    case FieldType::kQuantity:
      return Value::string("100m");
    case FieldType::kBytes:
      return Value::string("QUJD");
    case FieldType::kMessage:
      return sample(arena, *f.message, depth - 1);
    case FieldType::kRaw: {
      Value map = Value::map();
      map.set(arena, "f:a", Value::map());
      return map;
    }
    default:
      return Value::string("text");
  }
}

Value sample(Arena& arena, const TypeDesc& type, int depth) {
  Value out = Value::map();
  if (type.form == Form::kItems) return Value::list();
  if (type.form != Form::kObject || depth < 0) return out;
  for (const FieldDesc& f : type.fields) {
    if (f.type == FieldType::kMessage && depth == 0) continue;
    Value v = sample(arena, f, depth);
    if (f.cardinality == Cardinality::kList) {
      Value list = Value::list();
      if (!f.wrapped) list.append(arena, v);
      out.set(arena, f.name, list);
    } else if (f.cardinality == Cardinality::kMap) {
      Value map = Value::map();
      map.set(arena, "key", v);
      out.set(arena, f.name, map);
    } else {
      out.set(arena, f.name, v);
    }
  }
  return out;
}

// Whatever is damaged: the check says of every byte string what decoding would, so that an object
// that was taken in can be read whole.
TEST(Objects, WhatIsTakenInCanBeRead) {
  Random random(7);
  size_t taken = 0, refused = 0;
  for (const KindDesc* kind : all_kinds()) {
    Document doc;
    doc.root = sample(doc.arena, *kind->type, 5);
    const std::string good = encode_object(*kind, doc.root);
    for (int i = 0; i < 60; ++i) {
      std::string bad = good;
      for (size_t n = 1 + random.below(3); n > 0; --n)
        bad[random.below(bad.size())] = static_cast<char>(random.next());
      if (random.chance(0.1)) bad.resize(random.below(bad.size()));
      auto envelope = open_protobuf(bad);
      if (!envelope.ok()) continue;
      const bool decodes = decode_object_protobuf(*kind, bad).ok();
      ASSERT_EQ(is_protobuf_of(*kind->type, envelope->raw), decodes)
          << kind->kind << " after " << i << " damages";
      auto object =
          Object::from_stored(*kind, std::make_shared<const std::string>(std::move(bad)), 3);
      EXPECT_TRUE(decodes || !object.ok());
      ++(decodes ? taken : refused);
    }
  }
  EXPECT_GT(taken, 1000u);  // both were tried
  EXPECT_GT(refused, 500u);
}

TEST(Objects, ANewRevisionIsTheSameObject) {
  const KindDesc& pod = kind_of<core::Pod>();
  Draft<core::PodEdit> d;
  d->edit_metadata().set_name("x");
  auto first = Object::from_document(pod, d.take());
  auto second = Object::at_revision(*first, 12);
  EXPECT_EQ(second->name(), "x");
  EXPECT_EQ(second->revision(), 12);
  EXPECT_EQ(*second->stored(), *first->stored());
  EXPECT_EQ(second->tree()->root["metadata"]["resourceVersion"].as_string(), "12");
}

TEST(Objects, MetadataIsReadWithoutTheRest) {
  const KindDesc& pod = kind_of<core::Pod>();
  Draft<core::PodEdit> d;
  d->edit_metadata().set_name("x");
  d->edit_metadata().edit_labels().set("app", "web");
  d->edit_spec().set_node_name("n");
  auto o = Object::from_stored(pod, Object::from_document(pod, d.take())->stored(), 7);
  ASSERT_TRUE(o.ok());
  DocumentPtr part = (*o)->metadata();
  EXPECT_EQ(core::Pod(part->root).metadata().labels().get("app"), "web");
  EXPECT_EQ(core::Pod(part->root).metadata().resource_version(), "7");
  EXPECT_EQ(core::Pod(part->root).spec().node_name(), "");
  DocumentPtr whole = (*o)->tree();  // once there, it serves
  EXPECT_EQ((*o)->metadata(), whole);
  EXPECT_EQ(core::Pod(whole->root).spec().node_name(), "n");
}

TEST(StatusCodec, ThereAndBack) {
  Status s = Status::not_found("", "pods", "x");
  Status back = status_from_body(status_to_json(s), 500);
  EXPECT_EQ(back.code(), 404);
  EXPECT_EQ(back.message(), s.message());
  EXPECT_EQ(back.details().kind, "pods");
  EXPECT_THAT(status_to_json(s), HasSubstr(R"({"kind":"Status","apiVersion":"v1","metadata":{},)"));
}

TEST(Schema, LookUps) {
  EXPECT_EQ(find_kind("apps/v1", "Deployment"), &kind_of<api::apps_v1::Deployment>());
  EXPECT_EQ(find_resource("", "v1", "pods"), &kind_of<core::Pod>());
  EXPECT_EQ(find_kind("v1", "PodList")->type->find("items")->message, kind_of<core::Pod>().type);
  EXPECT_EQ(find_kind("v1", "Nothing"), nullptr);
  EXPECT_NE(find_type("io.k8s.api.core.v1.PodSpec"), nullptr);
  EXPECT_EQ(core::PodSpec::descriptor().find("nodeName")->number, 10);
  EXPECT_EQ(kind_of<core::Pod>().group_resource(), "pods");
  EXPECT_EQ(kind_of<api::apps_v1::Deployment>().group_resource(), "deployments.apps");
  EXPECT_NE(kind_of<core::Pod>().subresource("log"), nullptr);
}

}  // namespace
}  // namespace keles
