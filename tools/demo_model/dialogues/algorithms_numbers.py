"""Small Python functions about numbers: how people ask for them, the code, an example and checks.

Columns: function name; other names; parameters with other names for each; phrases (imperative); code; example
call; checks (expressions over the function that must be true).
"""

from dialogues.records import Algorithm as A

ALGORITHMS = [
    A("find_primes", ["primes_below", "get_primes", "find_prime_numbers", "list_primes", "prime_numbers", "all_primes"],
      {"n": ["limit", "num", "maximum"]},
      ["return all primes below {n}", "return a list of all prime numbers less than {n}", "find all primes smaller than {n}",
       "compute the prime numbers below {n}", "list every prime number less than {n}", "give me all primes under {n}",
       "generate the prime numbers less than {n}", "get all of the primes lower than {n}", "collect all prime numbers below {n}",
       "take an integer {n} as input and return a list of all prime numbers less than {n}",
       "take a number {n} and return the primes below it"],
      """def find_primes(n):
    primes = []
    for num in range(2, n):
        is_prime = True
        for i in range(2, int(num ** 0.5) + 1):
            if num % i == 0:
                is_prime = False
                break
        if is_prime:
            primes.append(num)
    return primes""", "find_primes(30)",
      ["find_primes(20) == [2, 3, 5, 7, 11, 13, 17, 19]", "find_primes(2) == []", "find_primes(10) == [2, 3, 5, 7]"]),
    A("generate_prime_number", ["generate_primes", "generate_prime_numbers", "primes_up_to"], {"n": ["limit", "max_value"]},
      ["generate prime numbers up to {n}", "return all primes up to and including {n}", "generate all primes up to {n}",
       "list the prime numbers up to {n}", "find the primes from 2 up to {n}"],
      """def generate_prime_number(n):
    primes = []
    for num in range(2, n + 1):
        is_prime = True
        for i in range(2, int(num ** 0.5) + 1):
            if num % i == 0:
                is_prime = False
                break
        if is_prime:
            primes.append(num)
    return primes""", "generate_prime_number(100)",
      ["generate_prime_number(7) == [2, 3, 5, 7]", "generate_prime_number(1) == []"]),
    A("is_prime", ["check_prime", "prime_check", "test_prime"], {"n": ["num", "number", "value"]},
      ["check whether {n} is prime", "test if a number is prime", "tell whether a number is a prime number",
       "decide if {n} is a prime", "check if a given number is prime", "return True if {n} is prime"],
      """def is_prime(n):
    if n < 2:
        return False
    for i in range(2, int(n ** 0.5) + 1):
        if n % i == 0:
            return False
    return True""", "is_prime(17)", ["is_prime(17)", "not is_prime(1)", "not is_prime(49)", "is_prime(2)"]),
    A("sieve_of_eratosthenes", ["sieve", "prime_sieve"], {"n": ["limit", "maximum"]},
      ["implement the sieve of Eratosthenes", "find primes with the sieve of Eratosthenes", "use a sieve to find all primes up to {n}",
       "run the sieve of Eratosthenes up to {n}", "return the primes up to {n} with a sieve"],
      """def sieve_of_eratosthenes(n):
    is_prime = [True] * (n + 1)
    is_prime[0:2] = [False] * min(2, n + 1)
    for i in range(2, int(n ** 0.5) + 1):
        if is_prime[i]:
            for j in range(i * i, n + 1, i):
                is_prime[j] = False
    return [i for i in range(n + 1) if is_prime[i]]""", "sieve_of_eratosthenes(50)",
      ["sieve_of_eratosthenes(11) == [2, 3, 5, 7, 11]", "sieve_of_eratosthenes(1) == []"]),
    A("factorial", ["compute_factorial", "fact"], {"n": ["num", "number"]},
      ["compute the factorial of {n}", "return the factorial of a number", "calculate {n} factorial", "calculate the factorial of a number",
       "get the factorial of an integer"],
      """def factorial(n):
    if n < 0:
        raise ValueError("n must not be negative")
    result = 1
    for i in range(2, n + 1):
        result *= i
    return result""", "factorial(5)", ["factorial(5) == 120", "factorial(0) == 1"]),
    A("factorial_recursive", ["recursive_factorial"], {"n": ["num", "number"]},
      ["compute the factorial recursively", "compute a factorial with recursion", "calculate the factorial of {n} using recursion",
       "return the factorial of {n} recursively"],
      """def factorial_recursive(n):
    if n <= 1:
        return 1
    return n * factorial_recursive(n - 1)""", "factorial_recursive(6)", ["factorial_recursive(6) == 720", "factorial_recursive(0) == 1"]),
    A("fibonacci", ["fib", "nth_fibonacci", "get_fibonacci"], {"n": ["num", "index", "k"]},
      ["compute the nth Fibonacci number", "return the {n}-th Fibonacci number", "calculate the Fibonacci number at position {n}",
       "get the Fibonacci number with index {n}", "find the nth number of the Fibonacci sequence"],
      """def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a""", "fibonacci(10)", ["fibonacci(10) == 55", "fibonacci(0) == 0", "fibonacci(1) == 1"]),
    A("fibonacci_sequence", ["fibonacci_list", "first_fibonacci", "fib_sequence"], {"n": ["count", "length"]},
      ["return the first {n} Fibonacci numbers", "generate the Fibonacci sequence", "list the first {n} numbers of the Fibonacci sequence",
       "print a Fibonacci sequence of length {n}", "generate a list of Fibonacci numbers"],
      """def fibonacci_sequence(n):
    sequence = []
    a, b = 0, 1
    for _ in range(n):
        sequence.append(a)
        a, b = b, a + b
    return sequence""", "fibonacci_sequence(10)", ["fibonacci_sequence(6) == [0, 1, 1, 2, 3, 5]", "fibonacci_sequence(0) == []"]),
    A("gcd", ["greatest_common_divisor", "compute_gcd"], {"a": ["x", "m"], "b": ["y", "k"]},
      ["compute the greatest common divisor of two numbers", "return the gcd of {a} and {b}", "find the greatest common divisor",
       "calculate the GCD of two integers", "implement Euclid's algorithm"],
      """def gcd(a, b):
    while b:
        a, b = b, a % b
    return abs(a)""", "gcd(48, 18)", ["gcd(48, 18) == 6", "gcd(7, 3) == 1", "gcd(0, 5) == 5"]),
    A("lcm", ["least_common_multiple", "compute_lcm"], {"a": ["x", "m"], "b": ["y", "k"]},
      ["compute the least common multiple of two numbers", "return the lcm of {a} and {b}", "find the least common multiple",
       "calculate the LCM of two integers"],
      """def lcm(a, b):
    if a == 0 or b == 0:
        return 0
    x, y = abs(a), abs(b)
    while y:
        x, y = y, x % y
    return abs(a * b) // x""", "lcm(4, 6)", ["lcm(4, 6) == 12", "lcm(0, 3) == 0"]),
    A("sum_of_digits", ["digit_sum", "sum_digits"], {"n": ["number", "num"]},
      ["compute the sum of the digits of a number", "add up the digits of {n}", "sum the digits of an integer", "return the digit sum of {n}"],
      """def sum_of_digits(n):
    return sum(int(digit) for digit in str(abs(n)))""", "sum_of_digits(1234)", ["sum_of_digits(1234) == 10", "sum_of_digits(-5) == 5"]),
    A("is_even", ["check_even", "even"], {"n": ["number", "num"]},
      ["check if a number is even", "tell whether {n} is even", "return True if {n} is even", "test whether an integer is even"],
      """def is_even(n):
    return n % 2 == 0""", "is_even(4)", ["is_even(4)", "not is_even(7)"]),
    A("is_leap_year", ["leap_year", "check_leap_year"], {"year": ["y"]},
      ["check if a year is a leap year", "tell whether {year} is a leap year", "decide whether a given year is a leap year",
       "test for leap years"],
      """def is_leap_year(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)""", "is_leap_year(2024)",
      ["is_leap_year(2000)", "not is_leap_year(1900)", "is_leap_year(2024)"]),
    A("power", ["fast_power", "exponentiate"], {"base": ["x", "b"], "exponent": ["n", "e"]},
      ["raise a number to a power", "compute {base} to the power of {exponent}", "calculate a power without using **",
       "implement fast exponentiation"],
      """def power(base, exponent):
    result = 1
    while exponent > 0:
        if exponent % 2 == 1:
            result *= base
        base *= base
        exponent //= 2
    return result""", "power(2, 10)", ["power(2, 10) == 1024", "power(5, 0) == 1"]),
    A("celsius_to_fahrenheit", ["c_to_f", "to_fahrenheit"], {"celsius": ["c", "temperature"]},
      ["convert Celsius to Fahrenheit", "convert a temperature from Celsius to Fahrenheit", "turn degrees Celsius into Fahrenheit"],
      """def celsius_to_fahrenheit(celsius):
    return celsius * 9 / 5 + 32""", "celsius_to_fahrenheit(25)", ["celsius_to_fahrenheit(100) == 212"]),
    A("fahrenheit_to_celsius", ["f_to_c", "to_celsius"], {"fahrenheit": ["f", "temperature"]},
      ["convert Fahrenheit to Celsius", "convert a temperature from Fahrenheit to Celsius", "turn degrees Fahrenheit into Celsius"],
      """def fahrenheit_to_celsius(fahrenheit):
    return (fahrenheit - 32) * 5 / 9""", "fahrenheit_to_celsius(98.6)", ["fahrenheit_to_celsius(212) == 100"]),
    A("prime_factors", ["factorize", "prime_factorization", "get_prime_factors"], {"n": ["number", "num"]},
      ["return the prime factors of {n}", "factorize a number into primes", "compute the prime factorization of {n}", "find the prime factors of a number"],
      """def prime_factors(n):
    factors = []
    divisor = 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            factors.append(divisor)
            n //= divisor
        divisor += 1
    if n > 1:
        factors.append(n)
    return factors""", "prime_factors(84)", ["prime_factors(84) == [2, 2, 3, 7]", "prime_factors(13) == [13]"]),
    A("get_divisors", ["divisors", "find_divisors", "list_divisors"], {"n": ["number", "num"]},
      ["return all divisors of {n}", "find the divisors of a number", "list every divisor of {n}", "list the factors of a number"],
      """def get_divisors(n):
    return [i for i in range(1, n + 1) if n % i == 0]""", "get_divisors(12)", ["get_divisors(12) == [1, 2, 3, 4, 6, 12]"]),
    A("is_perfect_number", ["perfect_number", "check_perfect"], {"n": ["number", "num"]},
      ["check if a number is perfect", "tell whether {n} is a perfect number", "test for perfect numbers"],
      """def is_perfect_number(n):
    if n < 2:
        return False
    return sum(i for i in range(1, n) if n % i == 0) == n""", "is_perfect_number(28)", ["is_perfect_number(28)", "not is_perfect_number(12)"]),
    A("is_armstrong", ["armstrong_number", "check_armstrong"], {"n": ["number", "num"]},
      ["check if a number is an Armstrong number", "tell whether {n} is an Armstrong number", "test for Armstrong numbers"],
      """def is_armstrong(n):
    digits = str(n)
    return n == sum(int(digit) ** len(digits) for digit in digits)""", "is_armstrong(153)", ["is_armstrong(153)", "not is_armstrong(100)"]),
    A("collatz", ["collatz_sequence", "collatz_steps"], {"n": ["start", "number"]},
      ["return the Collatz sequence starting at {n}", "compute the Collatz sequence of a number", "generate a Collatz sequence"],
      """def collatz(n):
    sequence = [n]
    while n != 1:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        sequence.append(n)
    return sequence""", "collatz(6)", ["collatz(6) == [6, 3, 10, 5, 16, 8, 4, 2, 1]"]),
    A("fizz_buzz", ["fizzbuzz", "fizz_buzz_list"], {"n": ["limit", "count"]},
      ["solve FizzBuzz up to {n}", "implement FizzBuzz", "play FizzBuzz for the numbers from 1 to {n}", "return the FizzBuzz list for {n}"],
      """def fizz_buzz(n):
    result = []
    for i in range(1, n + 1):
        if i % 15 == 0:
            result.append("FizzBuzz")
        elif i % 3 == 0:
            result.append("Fizz")
        elif i % 5 == 0:
            result.append("Buzz")
        else:
            result.append(str(i))
    return result""", "fizz_buzz(15)", ["fizz_buzz(5) == ['1', '2', 'Fizz', '4', 'Buzz']", "fizz_buzz(15)[-1] == 'FizzBuzz'"]),
    A("mean", ["average", "compute_average", "calculate_mean"], {"numbers": ["values", "data", "nums"]},
      ["compute the average of a list of numbers", "return the mean of {numbers}", "calculate the average of {numbers}", "find the mean of a list"],
      """def mean(numbers):
    if not numbers:
        return 0
    return sum(numbers) / len(numbers)""", "mean([1, 2, 3, 4])", ["mean([1, 2, 3]) == 2", "mean([]) == 0"]),
    A("median", ["find_median", "compute_median"], {"numbers": ["values", "data", "nums"]},
      ["compute the median of a list of numbers", "return the median of {numbers}", "find the median of a list", "calculate the median value"],
      """def median(numbers):
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2""", "median([5, 1, 3])", ["median([5, 1, 3]) == 3", "median([1, 2, 3, 4]) == 2.5"]),
    A("to_binary", ["decimal_to_binary", "int_to_binary"], {"n": ["number", "num"]},
      ["convert an integer to binary", "convert a decimal number to a binary string", "return {n} as a binary string", "turn a number into binary"],
      """def to_binary(n):
    if n == 0:
        return "0"
    digits = ""
    while n > 0:
        digits = str(n % 2) + digits
        n //= 2
    return digits""", "to_binary(10)", ["to_binary(10) == '1010'", "to_binary(0) == '0'"]),
    A("from_binary", ["binary_to_decimal", "binary_to_int"], {"text": ["binary", "bits"]},
      ["convert a binary string to an integer", "parse a binary string", "convert binary to decimal", "turn a binary string into a number"],
      """def from_binary(text):
    value = 0
    for bit in text:
        value = value * 2 + int(bit)
    return value""", "from_binary('1010')", ["from_binary('1010') == 10", "from_binary('0') == 0"]),
    A("to_roman", ["int_to_roman", "roman_numeral"], {"n": ["number", "num"]},
      ["convert an integer to a Roman numeral", "convert a number to Roman numerals", "turn {n} into a Roman numeral", "write a number in Roman numerals"],
      """def to_roman(n):
    values = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
              (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
    result = ""
    for value, letters in values:
        while n >= value:
            result += letters
            n -= value
    return result""", "to_roman(1994)", ["to_roman(1994) == 'MCMXCIV'", "to_roman(4) == 'IV'"]),
    A("from_roman", ["roman_to_int", "parse_roman"], {"text": ["roman", "numeral"]},
      ["convert a Roman numeral to an integer", "parse a Roman numeral", "turn Roman numerals into a number"],
      """def from_roman(text):
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = 0
    for i, letter in enumerate(text):
        value = values[letter]
        if i + 1 < len(text) and values[text[i + 1]] > value:
            total -= value
        else:
            total += value
    return total""", "from_roman('XIV')", ["from_roman('XIV') == 14", "from_roman('MCMXCIV') == 1994"]),
    A("clamp", ["limit_value", "clamp_value"], {"value": ["x", "number"], "low": ["minimum", "lower"], "high": ["maximum", "upper"]},
      ["clamp a value between a minimum and a maximum", "limit {value} to the range from {low} to {high}", "keep a number inside a range"],
      """def clamp(value, low, high):
    return max(low, min(value, high))""", "clamp(15, 0, 10)", ["clamp(15, 0, 10) == 10", "clamp(-1, 0, 10) == 0", "clamp(5, 0, 10) == 5"]),
    A("circle_area", ["area_of_circle", "compute_circle_area"], {"radius": ["r"]},
      ["compute the area of a circle", "return the area of a circle with a given {radius}", "calculate the area of a circle"],
      """import math


def circle_area(radius):
    return math.pi * radius ** 2""", "circle_area(2)", ["abs(circle_area(1) - 3.14159265) < 1e-6"]),
    A("distance", ["euclidean_distance", "point_distance"], {"p": ["a", "first"], "q": ["b", "second"]},
      ["compute the distance between two points", "return the Euclidean distance between {p} and {q}", "calculate the Euclidean distance of two points"],
      """import math


def distance(p, q):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(p, q)))""", "distance((0, 0), (3, 4))", ["distance((0, 0), (3, 4)) == 5"]),
    A("add", ["add_numbers", "sum_two", "addition"], {"a": ["x", "first"], "b": ["y", "second"]},
      ["add two numbers", "return the sum of {a} and {b}", "add {a} and {b}", "sum two numbers"],
      """def add(a, b):
    return a + b""", "add(2, 3)", ["add(2, 3) == 5"]),
    A("multiply", ["multiply_numbers", "product_of_two"], {"a": ["x", "first"], "b": ["y", "second"]},
      ["multiply two numbers", "return the product of {a} and {b}", "multiply {a} by {b}"],
      """def multiply(a, b):
    return a * b""", "multiply(4, 5)", ["multiply(4, 5) == 20"]),
    A("safe_divide", ["divide", "divide_numbers"], {"a": ["x", "numerator"], "b": ["y", "denominator"]},
      ["divide two numbers safely", "divide {a} by {b} and handle division by zero", "divide two numbers and raise an error when the divisor is zero"],
      """def safe_divide(a, b):
    if b == 0:
        raise ValueError("cannot divide by zero")
    return a / b""", "safe_divide(10, 4)", ["safe_divide(10, 4) == 2.5"]),
    A("sum_of_squares", ["squares_sum"], {"n": ["limit", "count"]},
      ["compute the sum of the squares from 1 to {n}", "add up the squares of the first {n} integers", "return the sum of squares up to {n}"],
      """def sum_of_squares(n):
    return sum(i * i for i in range(1, n + 1))""", "sum_of_squares(5)", ["sum_of_squares(3) == 14"]),
    A("sum_to_n", ["sum_up_to", "sum_range"], {"n": ["limit", "number"]},
      ["sum the numbers from 1 to {n}", "add all integers from 1 to {n}", "return the sum of the first {n} natural numbers"],
      """def sum_to_n(n):
    return n * (n + 1) // 2""", "sum_to_n(100)", ["sum_to_n(100) == 5050"]),
    A("maximum", ["find_max", "largest", "find_largest"], {"numbers": ["values", "items", "nums"]},
      ["find the largest number in a list", "return the maximum of {numbers}", "find the biggest value in a list", "get the maximum of a list without using max"],
      """def maximum(numbers):
    largest = numbers[0]
    for number in numbers[1:]:
        if number > largest:
            largest = number
    return largest""", "maximum([3, 9, 2])", ["maximum([3, 9, 2]) == 9", "maximum([-1, -5]) == -1"]),
    A("minimum", ["find_min", "smallest", "find_smallest"], {"numbers": ["values", "items", "nums"]},
      ["find the smallest number in a list", "return the minimum of {numbers}", "find the lowest value in a list", "get the minimum of a list without using min"],
      """def minimum(numbers):
    smallest = numbers[0]
    for number in numbers[1:]:
        if number < smallest:
            smallest = number
    return smallest""", "minimum([3, 9, 2])", ["minimum([3, 9, 2]) == 2"]),
    A("random_numbers", ["make_random_numbers", "random_list"], {"count": ["n", "size"], "low": ["start", "minimum"], "high": ["end", "maximum"]},
      ["generate a list of random integers", "return {count} random integers between {low} and {high}", "create a list of random numbers"],
      """import random


def random_numbers(count, low, high):
    return [random.randint(low, high) for _ in range(count)]""", "random_numbers(5, 1, 10)",
      ["len(random_numbers(5, 1, 10)) == 5", "all(1 <= x <= 3 for x in random_numbers(50, 1, 3))"]),
]
