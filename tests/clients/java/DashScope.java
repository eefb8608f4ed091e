// The DashScope SDK for Java against the native routes: calls, streams, tools, partial mode, tokenizer, errors.
// Usage: java -cp ... DashScope BASE MODEL; prints one line per finished part and fails with an exception.
import com.alibaba.dashscope.aigc.generation.Generation;
import com.alibaba.dashscope.aigc.generation.GenerationOutput;
import com.alibaba.dashscope.aigc.generation.GenerationParam;
import com.alibaba.dashscope.aigc.generation.GenerationResult;
import com.alibaba.dashscope.common.Message;
import com.alibaba.dashscope.common.Role;
import com.alibaba.dashscope.exception.ApiException;
import com.alibaba.dashscope.protocol.Protocol;
import com.alibaba.dashscope.tools.FunctionDefinition;
import com.alibaba.dashscope.tools.ToolCallFunction;
import com.alibaba.dashscope.tools.ToolFunction;
import com.alibaba.dashscope.utils.JsonUtils;
import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;

public final class DashScope {
  private static final String SCHEMA =
      "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"content\":{\"type\":\"string\"}},"
          + "\"required\":[\"path\",\"content\"]}";
  private static final String QUICK_SORT = "Write a Python quick sort script and name it quick_sort.py";

  private final Generation generation;
  private final String model;

  private DashScope(String base, String model) {
    this.generation = new Generation(Protocol.HTTP.getValue(), base + "/api/v1");
    this.model = model;
  }

  private static void require(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  private static Message message(Role role, String content) {
    return Message.builder().role(role.getValue()).content(content).build();
  }

  private GenerationParam.GenerationParamBuilder<?, ?> param(List<Message> messages, int maxTokens) {
    return GenerationParam.builder()
        .apiKey("sk-none")
        .model(model)
        .messages(messages)
        .temperature(0.001f)
        .seed(7)
        .maxTokens(maxTokens)
        .resultFormat(GenerationParam.ResultFormat.MESSAGE);
  }

  private static List<Message> hello() {
    return new ArrayList<>(
        List.of(message(Role.SYSTEM, "You are a helpful assistant."), message(Role.USER, "hello")));
  }

  private static GenerationOutput.Choice choice(GenerationResult result) {
    return result.getOutput().getChoices().get(0);
  }

  private String callMessage() throws Exception {
    GenerationResult result = generation.call(param(hello(), 48).build());
    require(result.getRequestId() != null && !result.getRequestId().isEmpty(), "no request id");
    require(result.getUsage().getTotalTokens() == result.getUsage().getInputTokens()
        + result.getUsage().getOutputTokens(), "usage does not add up");
    String content = choice(result).getMessage().getContent();
    require(content != null && "assistant".equals(choice(result).getMessage().getRole()), "no message");
    System.out.println("message: " + JsonUtils.toJson(content));
    return content;
  }

  private void callText() throws Exception {
    GenerationResult result = generation.call(GenerationParam.builder().apiKey("sk-none").model("qwen3-coder-plus")
        .prompt("hello").temperature(0.001f).maxTokens(8).build());
    require(result.getOutput().getText() != null, "no text");
    require(result.getOutput().getFinishReason() != null, "no finish reason");
    System.out.println("text: " + JsonUtils.toJson(result.getOutput().getText()));
  }

  private void stream(boolean incremental, String whole) throws Exception {
    StringBuilder joined = new StringBuilder();
    List<GenerationResult> parts = new ArrayList<>();
    generation.streamCall(param(hello(), 48).incrementalOutput(incremental).build()).blockingForEach(parts::add);
    for (GenerationResult part : parts) {
      String content = choice(part).getMessage().getContent();
      if (!incremental) {
        require(content.startsWith(joined.toString()), "a frame lost text");
        joined.setLength(0);
      }
      joined.append(content);
    }
    require(joined.toString().equals(whole), "the stream says something else: " + joined);
    String finish = choice(parts.get(parts.size() - 1)).getFinishReason();
    require("stop".equals(finish) || "length".equals(finish), "finish reason " + finish);
    System.out.println("stream: " + (incremental ? "incremental" : "whole"));
  }

  private void toolLoop() throws Exception {
    FunctionDefinition function = FunctionDefinition.builder().name("write_file")
        .description("Writes content to a file.").parameters(JsonUtils.parseString(SCHEMA).getAsJsonObject()).build();
    List<Message> messages = new ArrayList<>(List.of(message(Role.SYSTEM, "You are a coding assistant."),
        message(Role.USER, QUICK_SORT)));
    GenerationParam asked = param(messages, 600)
        .tools(List.of(ToolFunction.builder().function(function).build())).build();
    Message answer = choice(generation.call(asked)).getMessage();
    require(answer.getToolCalls() != null && answer.getToolCalls().size() == 1, "no tool call");
    ToolCallFunction call = (ToolCallFunction) answer.getToolCalls().get(0);
    JsonObject arguments = JsonUtils.parseString(call.getFunction().getArguments()).getAsJsonObject();
    require("write_file".equals(call.getFunction().getName()), "another tool");
    require("quick_sort.py".equals(arguments.get("path").getAsString()), "another path");
    require(arguments.get("content").getAsString().contains("def quick_sort"), "another content");
    messages.add(answer);
    messages.add(Message.builder().role("tool").toolCallId(call.getId())
        .content("Success: File 'quick_sort.py' has been written.").build());
    asked.setMessages(messages);
    require(!choice(generation.call(asked)).getMessage().getContent().isEmpty(), "no words after the tool");
    System.out.println("tools: write_file");
  }

  private void partial() throws Exception {
    Message prefix = Message.builder().role("assistant").content("def generate_prime_number").partial(true).build();
    List<Message> messages = List.of(
        message(Role.USER, "Help me write a Python code that generates prime numbers, without explanation."), prefix);
    String content = choice(generation.call(param(messages, 48).build())).getMessage().getContent();
    require(!content.isEmpty() && !content.startsWith("def generate_prime_number"), "the prefix came back");
    System.out.println("partial: " + JsonUtils.toJson(content));
  }

  private void errors() throws Exception {
    try {
      generation.call(GenerationParam.builder().apiKey("sk-none").model("no-such-model").prompt("x").build());
      throw new AssertionError("an unknown model answered");
    } catch (ApiException e) {
      require(e.getStatus().getStatusCode() == 404, "status " + e.getStatus());
      require("ModelNotFound".equals(e.getStatus().getCode()), "code " + e.getStatus());
      System.out.println("error: " + e.getStatus().getCode());
    }
  }

  public static void main(String[] args) throws Exception {
    DashScope client = new DashScope(args[0], args[1]);
    String whole = client.callMessage();
    client.callText();
    client.stream(true, whole);
    client.stream(false, whole);
    client.toolLoop();
    client.partial();
    client.errors();
    System.out.println("all parts done");
    System.exit(0);  // the SDK's pools would keep the process for a while
  }
}
