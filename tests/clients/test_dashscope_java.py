"""The DashScope SDK for Java (Maven: com.alibaba:dashscope-sdk-java), by the program in java/DashScope.java."""


def test_dashscope_java(server, java):
    printed = java("DashScope", server)
    assert printed.splitlines()[-1] == "all parts done", printed
    if server.scripted:
        assert 'message: "Hello! 你好 🙂"' in printed
