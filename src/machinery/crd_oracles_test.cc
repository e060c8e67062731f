// The schemas that people install (../shared/oracles/crds, where it is): each is taken, compiles,
// and judges an object of its group.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/custom_object.h"
#include "machinery/decode.h"
#include "machinery/rule_check.h"
#include "machinery/schema_check.h"
#include "machinery/structural_schema.h"

namespace keles {
namespace {

struct Definition {
  std::string file;
  Document tree;
};

std::vector<Definition> definitions() {
  std::vector<Definition> out;
  const std::filesystem::path folder = shared_dir() / "oracles" / "crds";
  if (!std::filesystem::exists(folder)) return out;
  const KindDesc* kind = find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    auto text = read_file(entry.path().string());
    EXPECT_TRUE(text.ok()) << entry.path();
    auto documents = parse_yaml_all(*text);
    EXPECT_TRUE(documents.ok()) << entry.path();
    for (Document& doc : *documents) {
      if (doc.root["kind"].as_string() != kind->kind) continue;
      EXPECT_TRUE(decode_object(*kind, doc, FieldValidation::kIgnore).ok()) << entry.path();
      out.push_back({entry.path().filename().string(), std::move(doc)});
    }
  }
  std::sort(out.begin(), out.end(),
            [](const Definition& a, const Definition& b) { return a.file < b.file; });
  return out;
}

std::vector<std::string> texts(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const StatusCause& c : errors) out.push_back(c.field + ": " + c.message);
  return out;
}

TEST(CrdOracles, EachIsTakenAndCompiles) {
  const auto all = definitions();
  if (all.empty()) GTEST_SKIP() << "no oracles";
  size_t schemas = 0, bytes = 0, source = 0;
  for (const Definition& d : all) {
    for (const Value& v : d.tree.root["spec"]["versions"].items()) {
      const Value& schema = v["schema"]["openAPIV3Schema"];
      FieldErrors errors;
      SchemaCheckOptions options;
      options.status_enabled = v["subresources"]["status"].is_map();
      check_custom_schema(errors, schema, "schema", options);
      EXPECT_THAT(texts(errors), testing::IsEmpty()) << d.file;
      auto compiled = StructuralSchema::compile(schema, "Thing");
      ASSERT_TRUE(compiled.ok()) << d.file;
      ++schemas;
      bytes += (*compiled)->bytes();
      source += to_json(schema).size();
    }
  }
  RecordProperty("schemas", static_cast<int>(schemas));
  // A thousand definitions of 20 kB are to cost 100 MB with all that is made of them.
  EXPECT_LT(bytes, 4 * source);
}

struct ObjectCase {
  std::string_view file, version, good, bad;
  std::vector<std::string> faults;
};

TEST(CrdOracles, AnObjectOfEachGroupPassesAndOneWithAFaultDoesNot) {
  const auto all = definitions();
  if (all.empty()) GTEST_SKIP() << "no oracles";
  const ObjectCase cases[] = {
      {"cert-manager.io_certificates.yaml",
       "v1",
       "spec: {secretName: web-tls, dnsNames: [web.example.com], issuerRef: {name: ca, kind: "
       "Issuer}}",
       "spec: {dnsNames: web.example.com, issuerRef: {kind: Issuer}, privateKey: {algorithm: DSA}}",
       {"spec.dnsNames: Invalid value: \"string\": spec.dnsNames in body must be of type array: "
        "\"string\"",
        "spec.issuerRef.name: Required value",
        "spec.privateKey.algorithm: Unsupported value: \"DSA\": supported values: \"RSA\", "
        "\"ECDSA\", \"Ed25519\"",
        "spec.secretName: Required value"}},
      {"acme.cert-manager.io_orders.yaml",
       "v1",
       "{metadata: {}, spec: {request: aGVsbG8=, issuerRef: {name: acme}}}",
       "{metadata: {}, spec: {request: '%', issuerRef: {name: acme}}}",
       {"spec.request: Invalid value: \"%\": spec.request in body must be of type byte: \"%\""}},
      {"gateway.networking.k8s.io_httproutes.yaml",
       "v1",
       "spec: {parentRefs: [{name: gw}], hostnames: [a.example.com], rules: [{matches: [{path: "
       "{type: "
       "PathPrefix, value: /}}], backendRefs: [{name: web, port: 80}]}]}",
       "spec: {parentRefs: [{name: ''}], hostnames: ['a b'], rules: [{backendRefs: [{name: web, "
       "port: "
       "70000}]}]}",
       {"spec.hostnames[0]: Invalid value: \"a b\": spec.hostnames[0] in body should match "
        "'^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'",
        "spec.parentRefs[0].name: Invalid value: \"\": spec.parentRefs[0].name in body should be "
        "at "
        "least 1 chars long",
        "spec.rules[0].backendRefs[0].port: Invalid value: 70000: "
        "spec.rules[0].backendRefs[0].port "
        "in body should be less than or equal to 65535"}},
      {"monitoring.coreos.com_servicemonitors.yaml",
       "v1",
       "spec: {selector: {matchLabels: {app: web}}, endpoints: [{port: http, interval: 30s}]}",
       "spec: {endpoints: [{port: http, interval: soon}]}",
       {"spec.endpoints[0].interval: Invalid value: \"soon\": spec.endpoints[0].interval in body "
        "should match "
        "'^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(("
        "[0-9]+)ms)?)$'",
        "spec.selector: Required value"}},
      {"keda.sh_scaledobjects.yaml",
       "v1alpha1",
       "spec: {scaleTargetRef: {name: web}, triggers: [{type: cpu, metadata: {value: '60'}}]}",
       "spec: {scaleTargetRef: {name: web}, triggers: [{type: cpu, metadata: {value: 60}}]}",
       {"spec.triggers[0].metadata.value: Invalid value: \"integer\": "
        "spec.triggers[0].metadata.value in body must be of type string: \"integer\""}},
      {"eventing.keda.sh_cloudeventsources.yaml",
       "v1alpha1",
       "spec: {destination: {http: {uri: 'http://a'}}}",
       "spec: {}",
       {"spec.destination: Required value"}},
      {"argoproj.io_application.yaml",
       "v1alpha1",
       "{metadata: {}, spec: {project: default, destination: {namespace: a}, source: {repoURL: "
       "'https://a'}}}",
       "{metadata: {}, spec: {project: [], destination: {namespace: a}}}",
       {"spec.project: Invalid value: \"array\": spec.project in body must be of type string: "
        "\"array\""}},
      {"postgresql.cnpg.io_clusters.yaml",
       "v1",
       "{metadata: {}, spec: {instances: 3, storage: {size: 1Gi}}}",
       "{metadata: {}, spec: {instances: 0}}",
       {"spec.instances: Invalid value: 0: spec.instances in body should be greater than or equal "
        "to "
        "1"}},
  };
  for (const ObjectCase& c : cases) {
    auto at =
        std::find_if(all.begin(), all.end(), [&](const Definition& d) { return d.file == c.file; });
    ASSERT_NE(at, all.end()) << c.file;
    for (const Value& v : at->tree.root["spec"]["versions"].items()) {
      if (v["name"].as_string() != c.version) continue;
      auto schema = StructuralSchema::compile(v["schema"]["openAPIV3Schema"], "Thing");
      ASSERT_TRUE(schema.ok());
      const TypeDesc& type = (*schema)->type();
      for (bool good : {true, false}) {
        auto doc = parse_yaml(good ? c.good : c.bad);
        ASSERT_TRUE(doc.ok());
        std::vector<std::string> unknown;
        ASSERT_TRUE(shape_custom(type, doc->arena, doc->root, &unknown).ok());
        EXPECT_THAT(unknown, testing::IsEmpty()) << c.file;
        fill_defaults(type, doc->arena, doc->root);
        FieldErrors errors;
        check_schema(errors, type, doc->root);
        check_list_types(errors, type, doc->root);
        check_embedded_resources(errors, type, doc->root);
        EXPECT_THAT(texts(errors), testing::UnorderedElementsAreArray(
                                       good ? std::vector<std::string>() : c.faults))
            << c.file;
      }
    }
  }
}

}  // namespace
}  // namespace keles
