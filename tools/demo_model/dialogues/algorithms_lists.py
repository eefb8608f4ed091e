"""Small Python functions about lists, dictionaries and files. Columns as in algorithms_numbers.py."""

from dialogues.records import Algorithm as A

ALGORITHMS = [
    A("quick_sort", ["quicksort", "sort_quick"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with quick sort", "implement quick sort", "sort {arr} using the quick sort algorithm", "do a quick sort", "implement the quicksort algorithm",
       "sort a list of numbers with quicksort", "perform quick sort on a list"],
      """def quick_sort(arr):
    if len(arr) <= 1:
        return arr
    pivot = arr[len(arr) // 2]
    left = [x for x in arr if x < pivot]
    middle = [x for x in arr if x == pivot]
    right = [x for x in arr if x > pivot]
    return quick_sort(left) + middle + quick_sort(right)""", "quick_sort([3, 6, 8, 10, 1, 2, 1])",
      ["quick_sort([3, 6, 1]) == [1, 3, 6]", "quick_sort([]) == []", "quick_sort([2, 1, 2]) == [1, 2, 2]"]),
    A("bubble_sort", ["sort_bubble", "bubblesort"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with bubble sort", "implement bubble sort", "sort {arr} using the bubble sort algorithm", "do a bubble sort", "implement the bubble sort algorithm"],
      """def bubble_sort(arr):
    n = len(arr)
    for i in range(n):
        swapped = False
        for j in range(n - i - 1):
            if arr[j] > arr[j + 1]:
                arr[j], arr[j + 1] = arr[j + 1], arr[j]
                swapped = True
        if not swapped:
            break
    return arr""", "bubble_sort([5, 2, 9, 1])", ["bubble_sort([5, 2, 9, 1]) == [1, 2, 5, 9]", "bubble_sort([]) == []"]),
    A("insertion_sort", ["sort_insertion"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with insertion sort", "implement insertion sort", "sort {arr} using the insertion sort algorithm", "do an insertion sort"],
      """def insertion_sort(arr):
    for i in range(1, len(arr)):
        key = arr[i]
        j = i - 1
        while j >= 0 and arr[j] > key:
            arr[j + 1] = arr[j]
            j -= 1
        arr[j + 1] = key
    return arr""", "insertion_sort([4, 3, 8, 1])", ["insertion_sort([4, 3, 8, 1]) == [1, 3, 4, 8]"]),
    A("selection_sort", ["sort_selection"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with selection sort", "implement selection sort", "sort {arr} using the selection sort algorithm", "do a selection sort"],
      """def selection_sort(arr):
    for i in range(len(arr)):
        smallest = i
        for j in range(i + 1, len(arr)):
            if arr[j] < arr[smallest]:
                smallest = j
        arr[i], arr[smallest] = arr[smallest], arr[i]
    return arr""", "selection_sort([7, 3, 5, 1])", ["selection_sort([7, 3, 5, 1]) == [1, 3, 5, 7]"]),
    A("merge_sort", ["mergesort", "sort_merge"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with merge sort", "implement merge sort", "sort {arr} using the merge sort algorithm", "do a merge sort", "implement the mergesort algorithm"],
      """def merge_sort(arr):
    if len(arr) <= 1:
        return arr
    middle = len(arr) // 2
    left = merge_sort(arr[:middle])
    right = merge_sort(arr[middle:])
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return result + left[i:] + right[j:]""", "merge_sort([8, 4, 2, 9])", ["merge_sort([8, 4, 2, 9]) == [2, 4, 8, 9]", "merge_sort([]) == []"]),
    A("heap_sort", ["heapsort", "sort_heap"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with heap sort", "implement heap sort", "sort {arr} using a heap", "do a heap sort", "implement the heapsort algorithm"],
      """import heapq


def heap_sort(arr):
    heap = list(arr)
    heapq.heapify(heap)
    return [heapq.heappop(heap) for _ in range(len(heap))]""", "heap_sort([6, 1, 4])", ["heap_sort([6, 1, 4]) == [1, 4, 6]"]),
    A("counting_sort", ["count_sort"], {"arr": ["items", "numbers", "data", "values"]},
      ["sort a list with counting sort", "implement counting sort", "sort small integers with counting sort"],
      """def counting_sort(arr):
    if not arr:
        return []
    counts = [0] * (max(arr) + 1)
    for value in arr:
        counts[value] += 1
    result = []
    for value, count in enumerate(counts):
        result.extend([value] * count)
    return result""", "counting_sort([4, 2, 2, 8])", ["counting_sort([4, 2, 2, 8]) == [2, 2, 4, 8]"]),
    A("binary_search", ["search_sorted", "bisect_search"], {"arr": ["items", "numbers", "data"], "target": ["value", "key"]},
      ["implement binary search", "search a sorted list with binary search", "find the index of {target} in a sorted list", "do a binary search",
       "perform a binary search for {target}"],
      """def binary_search(arr, target):
    low = 0
    high = len(arr) - 1
    while low <= high:
        mid = (low + high) // 2
        if arr[mid] == target:
            return mid
        if arr[mid] < target:
            low = mid + 1
        else:
            high = mid - 1
    return -1""", "binary_search([1, 3, 5, 7], 5)", ["binary_search([1, 3, 5, 7], 5) == 2", "binary_search([1, 3], 4) == -1"]),
    A("linear_search", ["find_index", "search_list"], {"arr": ["items", "numbers", "data"], "target": ["value", "key"]},
      ["implement linear search", "search a list for a value", "find the position of {target} in a list", "do a linear search"],
      """def linear_search(arr, target):
    for i, item in enumerate(arr):
        if item == target:
            return i
    return -1""", "linear_search([4, 2, 7], 7)", ["linear_search([4, 2, 7], 7) == 2", "linear_search([], 1) == -1"]),
    A("flatten", ["flatten_list", "flat"], {"nested": ["items", "values", "lst"]},
      ["flatten a nested list", "turn a nested list into a flat list", "flatten a list of lists", "recursively flatten {nested}"],
      """def flatten(nested):
    result = []
    for item in nested:
        if isinstance(item, list):
            result.extend(flatten(item))
        else:
            result.append(item)
    return result""", "flatten([1, [2, [3, 4]], 5])", ["flatten([1, [2, [3, 4]], 5]) == [1, 2, 3, 4, 5]"]),
    A("transpose", ["transpose_matrix", "matrix_transpose"], {"matrix": ["rows", "m"]},
      ["transpose a matrix", "swap the rows and columns of a matrix", "return the transpose of {matrix}", "compute a matrix transpose"],
      """def transpose(matrix):
    return [list(row) for row in zip(*matrix)]""", "transpose([[1, 2], [3, 4]])", ["transpose([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]"]),
    A("matrix_multiply", ["multiply_matrices", "matmul"], {"a": ["left", "first"], "b": ["right", "second"]},
      ["multiply two matrices", "compute the product of two matrices", "do a matrix multiplication", "return the matrix product of {a} and {b}"],
      """def matrix_multiply(a, b):
    columns = list(zip(*b))
    return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]""",
      "matrix_multiply([[1, 2], [3, 4]], [[5, 6], [7, 8]])", ["matrix_multiply([[1, 2], [3, 4]], [[5, 6], [7, 8]]) == [[19, 22], [43, 50]]"]),
    A("remove_duplicates", ["unique", "deduplicate", "drop_duplicates"], {"items": ["values", "data", "lst"]},
      ["remove duplicates from a list", "drop the duplicates of a list and keep the order", "return the unique elements of {items}", "remove repeated elements from a list"],
      """def remove_duplicates(items):
    seen = set()
    result = []
    for item in items:
        if item not in seen:
            seen.add(item)
            result.append(item)
    return result""", "remove_duplicates([1, 2, 2, 3, 1])", ["remove_duplicates([1, 2, 2, 3, 1]) == [1, 2, 3]"]),
    A("find_duplicates", ["duplicates", "get_duplicates"], {"items": ["values", "data", "lst"]},
      ["find the duplicates in a list", "return the elements that appear more than once", "list repeated values in {items}"],
      """def find_duplicates(items):
    seen = set()
    duplicates = set()
    for item in items:
        if item in seen:
            duplicates.add(item)
        seen.add(item)
    return sorted(duplicates)""", "find_duplicates([1, 2, 2, 3, 3])", ["find_duplicates([1, 2, 2, 3, 3]) == [2, 3]"]),
    A("chunk_list", ["chunks", "split_list", "batch_list"], {"items": ["values", "data", "lst"], "size": ["n", "length"]},
      ["split a list into chunks", "split a list into chunks of a given size", "break {items} into pieces of length {size}", "divide a list into batches of {size} items"],
      """def chunk_list(items, size):
    return [items[i:i + size] for i in range(0, len(items), size)]""", "chunk_list([1, 2, 3, 4, 5], 2)", ["chunk_list([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]"]),
    A("rotate_list", ["rotate", "rotate_left"], {"items": ["values", "data", "lst"], "k": ["n", "steps"]},
      ["rotate a list to the left by {k} positions", "rotate a list", "shift the elements of a list by {k} places"],
      """def rotate_list(items, k):
    if not items:
        return []
    k %= len(items)
    return items[k:] + items[:k]""", "rotate_list([1, 2, 3, 4], 1)", ["rotate_list([1, 2, 3, 4], 1) == [2, 3, 4, 1]"]),
    A("two_sum", ["find_pair", "pair_with_sum"], {"numbers": ["nums", "values"], "target": ["total", "goal"]},
      ["find two numbers that add up to a target", "solve the two sum problem", "return the indices of two numbers whose sum is {target}"],
      """def two_sum(numbers, target):
    seen = {}
    for i, number in enumerate(numbers):
        if target - number in seen:
            return [seen[target - number], i]
        seen[number] = i
    return []""", "two_sum([2, 7, 11, 15], 9)", ["two_sum([2, 7, 11, 15], 9) == [0, 1]", "two_sum([1], 5) == []"]),
    A("max_subarray", ["maximum_subarray", "kadane"], {"numbers": ["nums", "values"]},
      ["find the maximum subarray sum", "implement Kadane's algorithm", "return the largest sum of a contiguous subarray"],
      """def max_subarray(numbers):
    best = current = numbers[0]
    for number in numbers[1:]:
        current = max(number, current + number)
        best = max(best, current)
    return best""", "max_subarray([-2, 1, -3, 4, -1, 2, 1])", ["max_subarray([-2, 1, -3, 4, -1, 2, 1, -5, 4]) == 6"]),
    A("merge_dicts", ["combine_dicts", "join_dicts"], {"a": ["first", "left"], "b": ["second", "right"]},
      ["merge two dictionaries", "combine two dictionaries", "join {a} and {b} into one dictionary"],
      """def merge_dicts(a, b):
    result = dict(a)
    result.update(b)
    return result""", "merge_dicts({'x': 1}, {'y': 2})", ["merge_dicts({'x': 1}, {'y': 2, 'x': 3}) == {'x': 3, 'y': 2}"]),
    A("invert_dict", ["swap_keys_values", "reverse_dict"], {"mapping": ["d", "data"]},
      ["invert a dictionary", "swap the keys and values of a dictionary", "reverse a dictionary"],
      """def invert_dict(mapping):
    return {value: key for key, value in mapping.items()}""", "invert_dict({'a': 1, 'b': 2})", ["invert_dict({'a': 1}) == {1: 'a'}"]),
    A("sort_by_value", ["sort_dict", "dict_sorted_by_value"], {"mapping": ["d", "data"]},
      ["sort a dictionary by its values", "sort a dictionary by value", "return a dictionary ordered by its values"],
      """def sort_by_value(mapping):
    return dict(sorted(mapping.items(), key=lambda item: item[1]))""", "sort_by_value({'a': 3, 'b': 1})", ["list(sort_by_value({'a': 3, 'b': 1})) == ['b', 'a']"]),
    A("group_by", ["group_items", "group_by_key"], {"items": ["values", "data"], "key": ["func", "selector"]},
      ["group the items of a list by a key function", "group items by a key", "build a dictionary that groups {items} by {key}"],
      """def group_by(items, key):
    groups = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups""", "group_by([1, 2, 3, 4], lambda x: x % 2)", ["group_by([1, 2, 3], lambda x: x % 2) == {1: [1, 3], 0: [2]}"]),
    A("intersection", ["common_elements", "list_intersection"], {"a": ["first", "left"], "b": ["second", "right"]},
      ["find the common elements of two lists", "return the intersection of two lists", "list the elements that are in both {a} and {b}"],
      """def intersection(a, b):
    other = set(b)
    return [item for item in a if item in other]""", "intersection([1, 2, 3], [2, 3, 4])", ["intersection([1, 2, 3], [2, 3, 4]) == [2, 3]"]),
    A("second_largest", ["find_second_largest", "second_max"], {"numbers": ["values", "nums"]},
      ["find the second largest number in a list", "return the second largest value", "get the second biggest number of {numbers}"],
      """def second_largest(numbers):
    ordered = sorted(set(numbers))
    if len(ordered) < 2:
        return None
    return ordered[-2]""", "second_largest([4, 9, 7])", ["second_largest([4, 9, 7]) == 7", "second_largest([1]) is None"]),
    A("filter_even", ["even_numbers", "get_evens"], {"numbers": ["values", "nums"]},
      ["return the even numbers of a list", "filter the even numbers from a list", "keep only even numbers"],
      """def filter_even(numbers):
    return [number for number in numbers if number % 2 == 0]""", "filter_even([1, 2, 3, 4])", ["filter_even([1, 2, 3, 4]) == [2, 4]"]),
    A("square_list", ["squares", "square_numbers"], {"numbers": ["values", "nums"]},
      ["square every number in a list", "return the squares of {numbers}", "compute the square of each element of a list"],
      """def square_list(numbers):
    return [number ** 2 for number in numbers]""", "square_list([1, 2, 3])", ["square_list([1, 2, 3]) == [1, 4, 9]"]),
    A("reverse_list", ["reversed_list", "list_reverse"], {"items": ["values", "data", "lst"]},
      ["reverse a list", "return a list in reverse order", "reverse the order of {items}"],
      """def reverse_list(items):
    return items[::-1]""", "reverse_list([1, 2, 3])", ["reverse_list([1, 2, 3]) == [3, 2, 1]"]),
    A("sum_list", ["list_sum", "total"], {"numbers": ["values", "nums"]},
      ["sum a list of numbers", "add up all numbers in a list", "return the sum of {numbers}", "compute the total of a list"],
      """def sum_list(numbers):
    total = 0
    for number in numbers:
        total += number
    return total""", "sum_list([1, 2, 3])", ["sum_list([1, 2, 3]) == 6", "sum_list([]) == 0"]),
    A("most_common", ["most_frequent", "mode"], {"items": ["values", "data"]},
      ["find the most common element in a list", "return the most frequent value of {items}", "get the element that occurs most often"],
      """from collections import Counter


def most_common(items):
    return Counter(items).most_common(1)[0][0]""", "most_common([1, 2, 2, 3])", ["most_common([1, 2, 2, 3]) == 2"]),
    A("shuffle_list", ["shuffle", "shuffled"], {"items": ["values", "data", "lst"]},
      ["shuffle a list", "return a shuffled copy of a list", "put the items of a list in random order"],
      """import random


def shuffle_list(items):
    result = list(items)
    random.shuffle(result)
    return result""", "shuffle_list([1, 2, 3, 4])", ["sorted(shuffle_list([3, 1, 2])) == [1, 2, 3]"]),
    A("permutations", ["all_permutations", "permute"], {"items": ["values", "elements"]},
      ["return all permutations of a list", "generate every permutation of {items}", "list the permutations of a list"],
      """def permutations(items):
    if len(items) <= 1:
        return [list(items)]
    result = []
    for i, item in enumerate(items):
        rest = items[:i] + items[i + 1:]
        for tail in permutations(rest):
            result.append([item] + tail)
    return result""", "permutations([1, 2, 3])", ["len(permutations([1, 2, 3])) == 6", "permutations([1]) == [[1]]"]),
    A("subsets", ["power_set", "all_subsets"], {"items": ["values", "elements"]},
      ["return all subsets of a list", "compute the power set of a list", "generate every subset of {items}"],
      """def subsets(items):
    result = [[]]
    for item in items:
        result += [subset + [item] for subset in result]
    return result""", "subsets([1, 2])", ["len(subsets([1, 2, 3])) == 8"]),
    A("read_lines", ["read_file_lines", "load_lines"], {"path": ["filename", "file_path"]},
      ["read a file line by line", "return the lines of a file as a list", "read all lines of a text file", "read a file into a list of lines"],
      """def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\\n") for line in file]""", "read_lines('notes.txt')", ["callable(read_lines)"]),
    A("read_text", ["read_file", "load_text"], {"path": ["filename", "file_path"]},
      ["read a text file", "return the content of a file", "read the whole file at {path}", "open a file and return its text"],
      """def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()""", "read_text('notes.txt')", ["callable(read_text)"]),
    A("write_text", ["save_text", "write_to_file"], {"path": ["filename", "file_path"], "text": ["content", "data"]},
      ["write text to a file", "save a string to a file", "write {text} to the file at {path}"],
      """def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)""", "write_text('notes.txt', 'hello')", ["callable(write_text)"]),
    A("load_json", ["read_json", "parse_json_file"], {"path": ["filename", "file_path"]},
      ["load a JSON file", "read a JSON file into a dictionary", "open a JSON file and return its data", "parse the JSON file at {path}"],
      """import json


def load_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)""", "load_json('config.json')", ["callable(load_json)"]),
    A("save_json", ["write_json", "dump_json"], {"data": ["value", "obj"], "path": ["filename", "file_path"]},
      ["save data to a JSON file", "write a dictionary to a JSON file", "store {data} as JSON"],
      """import json


def save_json(data, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=2)""", "save_json({'a': 1}, 'data.json')", ["callable(save_json)"]),
    A("read_csv", ["load_csv", "parse_csv"], {"path": ["filename", "file_path"]},
      ["read a CSV file", "load a CSV file as a list of dictionaries", "parse a CSV file"],
      """import csv


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))""", "read_csv('data.csv')", ["callable(read_csv)"]),
    A("count_lines", ["line_count", "number_of_lines"], {"path": ["filename", "file_path"]},
      ["count the lines in a file", "return the number of lines of a file", "count how many lines a text file has"],
      """def count_lines(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file)""", "count_lines('notes.txt')", ["callable(count_lines)"]),
    A("list_files", ["find_files", "files_in"], {"folder": ["directory", "path"], "suffix": ["extension", "ending"]},
      ["list the files in a folder with a given suffix", "find all files in {folder} that end with {suffix}", "list files with a certain extension"],
      """import os


def list_files(folder, suffix):
    return [name for name in os.listdir(folder) if name.endswith(suffix)]""", "list_files('.', '.py')", ["isinstance(list_files('.', '.zzz'), list)"]),
    A("bfs", ["breadth_first_search", "bfs_order"], {"graph": ["adjacency", "g"], "start": ["source", "root"]},
      ["implement breadth first search", "traverse a graph with breadth-first search", "do a BFS on a graph", "visit a graph in BFS order"],
      """from collections import deque


def bfs(graph, start):
    visited = [start]
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for neighbor in graph.get(node, []):
            if neighbor not in visited:
                visited.append(neighbor)
                queue.append(neighbor)
    return visited""", "bfs({'a': ['b', 'c'], 'b': ['d']}, 'a')", ["bfs({'a': ['b', 'c'], 'b': ['d']}, 'a') == ['a', 'b', 'c', 'd']"]),
    A("dfs", ["depth_first_search", "dfs_order"], {"graph": ["adjacency", "g"], "start": ["source", "root"]},
      ["implement depth first search", "traverse a graph with depth-first search", "do a DFS on a graph", "visit a graph in DFS order"],
      """def dfs(graph, start):
    visited = []
    stack = [start]
    while stack:
        node = stack.pop()
        if node not in visited:
            visited.append(node)
            stack.extend(reversed(graph.get(node, [])))
    return visited""", "dfs({'a': ['b', 'c'], 'b': ['d']}, 'a')", ["dfs({'a': ['b', 'c'], 'b': ['d']}, 'a') == ['a', 'b', 'd', 'c']"]),
    A("dijkstra", ["shortest_paths", "shortest_distances"], {"graph": ["adjacency", "g"], "start": ["source", "root"]},
      ["implement Dijkstra's algorithm", "compute shortest paths in a graph", "find the shortest distances from {start} to all nodes"],
      """import heapq


def dijkstra(graph, start):
    distances = {start: 0}
    heap = [(0, start)]
    while heap:
        distance, node = heapq.heappop(heap)
        if distance > distances[node]:
            continue
        for neighbor, weight in graph.get(node, []):
            new = distance + weight
            if new < distances.get(neighbor, float("inf")):
                distances[neighbor] = new
                heapq.heappush(heap, (new, neighbor))
    return distances""", "dijkstra({'a': [('b', 2)], 'b': [('c', 3)]}, 'a')",
      ["dijkstra({'a': [('b', 2), ('c', 9)], 'b': [('c', 3)]}, 'a') == {'a': 0, 'b': 2, 'c': 5}"]),
]
