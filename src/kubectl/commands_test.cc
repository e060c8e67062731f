// The parts of commands that decide something without a cluster.
#include <gtest/gtest.h>

#include <sstream>

#include "kubectl/access_rules.h"
#include "kubectl/content_hash.h"
#include "kubectl/environment.h"
#include "kubectl/errors.h"
#include "kubectl/ingress_rule.h"
#include "kubectl/scale_target.h"
#include "kubectl/set.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

Document json(std::string_view text) {
  Result<Document> d = parse_json(text);
  EXPECT_TRUE(d.ok()) << text;
  return d.ok() ? std::move(*d) : Document();
}

EnvChanges changes(const Args& words, const std::string& input = "") {
  std::istringstream in(input);
  Result<EnvChanges> r = parse_environment(words, in);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return r.ok() ? std::move(*r) : EnvChanges();
}

std::string env_after(const char* now, const EnvChanges& c) {
  Document d = json(now);
  Document out;
  return to_json(changed_environment(out, d.root, c));
}

TEST(EnvironmentTest, ResourcesComeFirst) {
  Args resources, words;
  EXPECT_TRUE(split_environment({"deploy/a", "pod-b", "A=b", "C-", "-"}, &resources, &words));
  EXPECT_EQ(resources, (Args{"deploy/a", "pod-b"}));
  EXPECT_EQ(words, (Args{"A=b", "C-", "-"}));
  resources.clear(), words.clear();
  EXPECT_FALSE(split_environment({"A=b", "deploy/a"}, &resources, &words));
}

TEST(EnvironmentTest, SetsReplacesAndRemoves) {
  const char* now =
      R"([{"name":"A","value":"1"},{"name":"B","value":"2"},{"name":"A","value":"3"}])";
  EXPECT_EQ(env_after(now, changes({"A=x"})),
            R"([{"name":"A","value":"x"},{"name":"B","value":"2"}])");
  EXPECT_EQ(env_after(now, changes({"A-", "C="})), R"([{"name":"B","value":"2"},{"name":"C"}])");
  EXPECT_EQ(env_after("[]", changes({"-"}, "# note\nA=1 # one\nno variable\nB=2\r\n")),
            R"([{"name":"A","value":"1 "},{"name":"B","value":"2"}])");
  Document d = json(now);
  EXPECT_TRUE(check_no_overwrites(d.root, changes({"B=2", "C=3"})).ok());
  EXPECT_EQ(check_no_overwrites(d.root, changes({"B=3"})).message(),
            "'B' already has a value (2), and --overwrite is false");
}

TEST(EnvironmentTest, RefusesNonsense) {
  std::istringstream none;
  EXPECT_EQ(parse_environment({"A=b", "A-"}, none).status().message(),
            "can not both modify and remove the same environment variable in the same command");
  EXPECT_TRUE(parse_environment({"1=b"}, none)
                  .status()
                  .message()
                  .starts_with("\"1\" is not a valid key name: "));
  EXPECT_EQ(env_name_of("log.level-x1"), "LOG_LEVEL_X1");
}

TEST(EnvironmentTest, References) {
  Document o = json(R"({"metadata":{"name":"n","labels":{"b":"2","a":"1"}}})");
  EXPECT_EQ(field_value(o.root, "metadata.name").value_or(""), "n");
  EXPECT_EQ(field_value(o.root, "metadata.labels['a']").value_or(""), "1");
  EXPECT_EQ(field_value(o.root, "metadata.labels").value_or(""), "a=\"1\"\nb=\"2\"");
  EXPECT_EQ(field_value(o.root, "spec.nodeName").status().message(),
            "unsupported fieldPath: spec.nodeName");
  Document c = json(R"({"resources":{"limits":{"cpu":"1500m","memory":"1Mi"}}})");
  Document cpu = json(R"({"resource":"limits.cpu"})");
  Document memory = json(R"({"resource":"limits.memory","divisor":"1Ki"})");
  EXPECT_EQ(resource_value(cpu.root, c.root).value_or(""), "2");
  EXPECT_EQ(resource_value(memory.root, c.root).value_or(""), "1024");
  EXPECT_FALSE(resource_value(json(R"({"resource":"limits.x"})").root, c.root).ok());
  EXPECT_EQ(reference_text(json(R"({"secretKeyRef":{"name":"s","key":"k"}})").root),
            "secret s, key k");
}

TEST(SetTest, Wildcards) {
  EXPECT_TRUE(matches_wildcard("web", "*"));
  EXPECT_TRUE(matches_wildcard("web-1", "web*"));
  EXPECT_TRUE(matches_wildcard("a-web-1", "*web*1"));
  EXPECT_FALSE(matches_wildcard("web", "we"));
  EXPECT_FALSE(matches_wildcard("web-2", "*web*1"));
  EXPECT_FALSE(matches_wildcard("", "a*"));
}

TEST(AutoscaleTest, Targets) {
  const auto text = [](const char* given, const char* resource) {
    Result<ScaleTarget> t = parse_scale_target(given, resource);
    if (!t.ok()) return t.status().message();
    return t->quantity.empty() ? std::to_string(t->percent) + "%" : t->quantity;
  };
  EXPECT_EQ(text("70%", "cpu"), "70%");
  EXPECT_EQ(text("500", "cpu"), "500m");
  EXPECT_EQ(text("500", "memory"), "500Mi");
  EXPECT_EQ(text(" 1Gi ", "memory"), "1Gi");
  EXPECT_EQ(text("-1%", "cpu"), "invalid percentage value: -1");
  EXPECT_EQ(text("9999999999%", "cpu"), "invalid percentage value: 9999999999");
  EXPECT_EQ(text("x", "cpu"), "invalid resource cpu value: x");
}

TEST(IngressTest, Rules) {
  std::vector<IngressRuleText> rules;
  for (const char* text : {"a.b/c*=s:80,tls=x", "a.b/d=s:http", "e.f/=s:1,tls=x", "/=s:1"}) {
    Result<IngressRuleText> r = parse_ingress_rule(text);
    ASSERT_TRUE(r.ok()) << text;
    rules.push_back(*r);
  }
  Document d;
  put_ingress_rules(d, rules);
  EXPECT_EQ(to_json(d.root["spec"]["tls"]), R"([{"hosts":["a.b","e.f"],"secretName":"x"}])");
  const Value& out = d.root["spec"]["rules"];
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out.at(0)["http"]["paths"].size(), 2u);
  EXPECT_EQ(to_json(out.at(0)["http"]["paths"].at(0)),
            R"({"path":"/c","pathType":"Prefix","backend":{"service":{"name":"s","port":)"
            R"({"number":80}}}})");
  for (const char* text : {"x", "a/b", "a/b=s", "a/b=s:", "a/b=:1", "a b/c=s:1", "a/b=s:1,ssl"}) {
    EXPECT_FALSE(parse_ingress_rule(text).ok()) << text;
  }
}

// What the stock kubectl makes of them.
TEST(ContentHashTest, NamesAreTheStockOnes) {
  const auto hash = [](const char* text) { return content_hash(json(text).root); };
  EXPECT_EQ(hash(R"({"kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"b"}})"), "64686gkt6c");
  EXPECT_EQ(hash(R"({"kind":"ConfigMap","metadata":{"name":"x"}})"), "62ctbmbfd2");
  EXPECT_EQ(hash(R"({"kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"<&>"}})"),
            "2bdb9b55th");
  EXPECT_EQ(hash(R"({"kind":"Secret","metadata":{"name":"x"},"data":{"a":"Yg=="}})"), "k694gm4m9h");
  EXPECT_EQ(hash(R"({"kind":"Secret","metadata":{"name":"x"}})"), "b8485c8589");
  EXPECT_EQ(hash(R"({"kind":"Secret","type":"q","metadata":{"name":"x"},"data":{"a":"Yg=="}})"),
            "k5mtm9hhgh");
}

TEST(SaveConfigTest, TheKindsOwnOrder) {
  Document d = new_object("v1", "Namespace", "x");
  at(d, "status") = Value::map();
  at(d, "spec") = Value::map();
  annotate_typed(d);
  EXPECT_EQ(
      d.root["metadata"]["annotations"][kLastApplied].as_string(),
      R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":"x"},"spec":{},"status":{}})"
      "\n");
}

TEST(AccessRulesTest, VerbsComeTogether) {
  Document d = json(R"({"resourceRules":[
    {"verbs":["get","list"],"apiGroups":["apps"],"resources":["deployments/scale"]},
    {"verbs":["watch","get"],"apiGroups":["apps"],"resources":["deployments/scale"]},
    {"verbs":["create"],"apiGroups":[""],"resources":["pods"],"resourceNames":["a","b"]}],
    "nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["/healthz"]}]})");
  std::string out;
  for (const AccessRule& r : access_rules(d.root)) {
    out += resource_and_group(r) + "|";
    for (const auto* list : {&r.urls, &r.names, &r.verbs}) {
      for (const std::string& s : *list) out += s + " ";
      out += "|";
    }
    out += "\n";
  }
  EXPECT_EQ(out,
            "pods||a |create |\npods||b |create |\n"
            "deployments.apps/scale|||get list watch |\n|/healthz ||get |\n");
}

}  // namespace
}  // namespace keles::kubectl
