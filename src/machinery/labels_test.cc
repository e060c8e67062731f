#include "machinery/labels.h"

#include <gtest/gtest.h>

#include "machinery/codec_yaml.h"
#include "machinery/fields.h"
#include "machinery/intstr.h"

namespace keles {
namespace {

TEST(Labels, ParseAndPrint) {
  struct {
    const char *in, *out;
  } cases[] = {
      {"", ""},
      {"a=b,c!=d,e in (y,x),!f,g>1", "a=b,c!=d,e in (x,y),!f,g>1"},
      {"x notin (a)", "x notin (a)"},
      {" a == b ", "a==b"},
      {"z,a", "a,z"},
      {"a=", "a="},
      {"x in (a,,b)", "x in (,a,b)"},
      {"x in (,)", "x in (,)"},
      {"x notin (,,)", "x notin (,)"},
      {"in in (in)", "in in (in)"},
      {"a.b/c=d", "a.b/c=d"},
  };
  for (const auto& c : cases) {
    auto s = Selector::parse(c.in);
    ASSERT_TRUE(s.ok()) << c.in << ": " << s.status().message();
    EXPECT_EQ(s->to_string(), c.out) << c.in;
  }
}

TEST(Labels, Errors) {
  auto message = [](const char* s) { return Selector::parse(s).status().message(); };
  EXPECT_EQ(message("=a"), "found '=', expected: !, identifier, or 'end of string'");
  EXPECT_EQ(message("a b"),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
  EXPECT_EQ(message("a in b"), "unable to parse requirement: found 'b', expected: '('");
  EXPECT_EQ(message("a,"), "found '', expected: identifier after ','");
  EXPECT_EQ(message("a=b c"), "found 'c', expected: ',' or 'end of string'");
  EXPECT_EQ(message("a>x"),
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
            "operators, the value must be an integer");
  EXPECT_EQ(message("a in ()"),
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, "
            "values set can't be empty");
  EXPECT_EQ(message("-a=b").substr(0, 63),
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name p");
}

TEST(Labels, Match) {
  auto labels = parse_yaml("{app: web, tier: \"2\"}");
  auto matches = [&](const char* s) { return Selector::parse(s)->matches(labels->root); };
  for (const char* s : {"", "app=web", "app in (db,web)", "tier>1", "tier<3", "!other", "other!=x",
                        "app", "other notin (a)"}) {
    EXPECT_TRUE(matches(s)) << s;
  }
  for (const char* s : {"app=db", "app!=web", "tier>2", "other", "!app", "app>1", "other=x"}) {
    EXPECT_FALSE(matches(s)) << s;
  }
  EXPECT_FALSE(Selector::from_label_selector(Value::null())->matches(labels->root));
  EXPECT_TRUE(Selector::from_label_selector(Value::map())->matches(labels->root));
  auto ls = parse_yaml(
      "matchLabels: {app: web}\nmatchExpressions:\n- {key: tier, operator: In, values: ['2']}\n");
  auto s = Selector::from_label_selector(ls->root);
  ASSERT_TRUE(s.ok());
  EXPECT_TRUE(s->matches(labels->root));
  EXPECT_EQ(s->to_string(), "app=web,tier in (2)");
  EXPECT_FALSE(s->matches(Value::map()));
}

TEST(Fields, ParseMatchValidate) {
  const KindDesc* pod = find_kind("v1", "Pod");
  ASSERT_NE(pod, nullptr);
  auto o = parse_yaml("{metadata: {name: p, namespace: ns}, spec: {nodeName: n1}}");
  auto matches = [&](const char* s) {
    auto f = FieldSelector::parse(s);
    EXPECT_TRUE(f.ok() && f->validate(*pod).ok()) << s;
    return f->matches(*pod, o->root);
  };
  EXPECT_TRUE(matches("metadata.name=p,spec.nodeName==n1"));
  EXPECT_TRUE(matches("status.phase!=Running"));
  EXPECT_TRUE(matches("spec.hostNetwork=false"));
  EXPECT_FALSE(matches("spec.nodeName="));
  EXPECT_EQ(FieldSelector::parse("foo").status().message(),
            "invalid selector: 'foo'; can't understand 'foo'");
  EXPECT_EQ(FieldSelector::parse("spec.foo=1")->validate(*pod).message(),
            "field label not supported: spec.foo");
  EXPECT_EQ(FieldSelector::parse("spec.foo=1")->validate(*find_kind("v1", "ConfigMap")).message(),
            "\"spec.foo\" is not a known field selector: only \"metadata.name\", "
            "\"metadata.namespace\"");
  auto escaped = FieldSelector::parse("a=b\\,c\\=d");
  ASSERT_TRUE(escaped.ok());
  EXPECT_EQ(escaped->terms()[0].value, "b,c=d");
  EXPECT_EQ(escaped->to_string(), "a=b\\,c\\=d");
}

TEST(IntOrString, Percentages) {
  auto s = [](const char* t) { return Value::string(t); };
  EXPECT_EQ(*scaled_int_or_percent(s("25%"), 10, true), 3);
  EXPECT_EQ(*scaled_int_or_percent(s("25%"), 10, false), 2);
  EXPECT_EQ(*scaled_int_or_percent(Value(4), 10, false), 4);
  EXPECT_FALSE(scaled_int_or_percent(s("x"), 10, false).ok());
  EXPECT_FALSE(scaled_int_or_percent(s("x%"), 10, false).ok());
}

}  // namespace
}  // namespace keles
